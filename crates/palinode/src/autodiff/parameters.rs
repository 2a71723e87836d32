//! The parameters of modules as parents of one node of the graph, and their values.

use super::handover::hand_over;
use super::node::{self, Variable, node_id, record_into};
use super::view::{View, view};
use crate::error::{Error, Result};
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::grads::Gradients;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use palinode_kernels::Context;
use palinode_kernels::profile::Section;

/// The parameters of some modules, in visiting order, as parents of one node.
///
/// The number of parents is part of a node's type, but modules have any number of parameters. Usually
/// all parameters are leaves of the graph. Then one leaf is the parent, so that the node is part of the
/// graph, and the gradients of the other leaves are registered directly, without an edge. If some
/// parameters are computed from other tensors, all parameters are joined into one parent.
struct Parameters {
    parent: Tensor<1>,
    rest: Rest,
    /// The graph's numbers of the parameters that are leaves; empty if all parameters are joined.
    leaves: Vec<Option<u64>>,
}

enum Rest {
    /// All parameters are joined in the parent.
    Joined,
    /// All parameters are leaves or constants; the parent is one of the leaves.
    Leaves(Vec<Leaf>),
}

/// Adds a flattened gradient to the gradient of a leaf.
type Register = Box<dyn FnOnce(Tensor<1>, &mut Gradients) + Send>;

enum Leaf {
    /// Outside the graph.
    Constant,
    Parent,
    Other(Register),
}

/// Records `output` as a function of `input` and the parameters of `modules`. `vjp` maps the gradient
/// with respect to `output` to the gradients with respect to `input` and to every parameter (flattened,
/// in visiting order). Where several ranks share a batch, the other ranks get these gradients at once.
///
/// # Errors
/// [`Error::Backend`](crate::Error::Backend) if the library was built without the
/// backend of the tensors' device.
pub(crate) fn record_modules<M: Module>(
    (context, section): (&Context, Section),
    input: Tensor<4>,
    modules: &[M],
    output: Tensor<4>,
    vjp: impl FnOnce(Tensor<4>) -> (Tensor<4>, Vec<Tensor<1>>) + Send + 'static,
) -> Result<Tensor<4>> {
    let Parameters { parent, rest, leaves } = Parameters::of(modules, &input)?;
    let parents = [Variable::Array(input), Variable::Vector(parent)];
    // Only a shared batch needs them.
    let shared = context.share().is_some().then(|| (context.clone(), leaves));
    record_into(context, section, parents, output, move |gradient, _, graph| {
        let (gradient, found) = vjp(gradient);
        if let Some((context, leaves)) = &shared {
            hand_over(context, leaves, &found);
        }
        [Some(Variable::Array(gradient)), rest.give(found, graph)]
    })
}

impl Parameters {
    fn of<M: Module>(modules: &[M], like: &Tensor<4>) -> Result<Self> {
        let mut all =
            Collect { parent: None, leaves: Vec::new(), ids: Vec::new(), kind: Kind::Leaves };
        modules.iter().for_each(|module| module.visit(&mut all));
        let Collect { parent, leaves, ids, kind } = all;
        match kind {
            Kind::Leaves => {
                let parent = parent.unwrap_or_else(|| Tensor::zeros([1], &like.device()));
                Ok(Self { parent, rest: Rest::Leaves(leaves), leaves: ids })
            }
            Kind::Computed => {
                let mut all = Flatten(Vec::new());
                modules.iter().for_each(|module| module.visit(&mut all));
                let parent = Tensor::cat(all.0, 0);
                Ok(Self { parent, rest: Rest::Joined, leaves: Vec::new() })
            }
            Kind::Elsewhere(error) => Err(error),
        }
    }
}

impl Rest {
    /// Registers the gradients of all leaves except the parent, and returns the parent's gradient.
    fn give(self, found: Vec<Tensor<1>>, graph: &mut Gradients) -> Option<Variable> {
        let leaves = match self {
            Self::Joined => return Some(Variable::Vector(Tensor::cat(found, 0))),
            Self::Leaves(leaves) => leaves,
        };
        assert_eq!(leaves.len(), found.len(), "every parameter has one gradient");
        let mut parent = None;
        for (leaf, gradient) in leaves.into_iter().zip(found) {
            match leaf {
                Leaf::Constant => (),
                Leaf::Parent => parent = Some(Variable::Vector(gradient)),
                Leaf::Other(register) => register(gradient, graph),
            }
        }
        parent
    }
}

struct Collect {
    /// The first tracked parameter, flattened.
    parent: Option<Tensor<1>>,
    leaves: Vec<Leaf>,
    /// The graph's number of every leaf; `None` for a constant.
    ids: Vec<Option<u64>>,
    kind: Kind,
}

/// How the parameters are connected to the graph.
enum Kind {
    /// All are leaves or constants.
    Leaves,
    /// Some are computed from others.
    Computed,
    /// One is where custom nodes cannot be recorded.
    Elsewhere(Error),
}

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if !value.is_tracked() {
            self.leaves.push(Leaf::Constant);
            self.ids.push(None);
            return;
        }
        if !value.is_require_grad() && matches!(self.kind, Kind::Leaves) {
            self.kind = Kind::Computed;
        }
        let id = node_id(&value);
        self.ids.push(id.as_ref().ok().map(|id| id.value));
        self.leaves.push(match id {
            Ok(id) if self.parent.is_some() => Leaf::Other(register::<D>(id, value.dims())),
            Ok(_) => {
                self.parent = Some(value.reshape([-1]));
                Leaf::Parent
            }
            Err(error) => {
                self.kind = Kind::Elsewhere(error);
                Leaf::Constant
            }
        });
    }
}

/// Collects all parameters, flattened.
struct Flatten(Vec<Tensor<1>>);

impl ModuleVisitor for Flatten {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().reshape([-1]));
    }
}

/// A function that adds a flattened gradient to the gradient of leaf `id`.
fn register<const D: usize>(id: NodeId, shape: [usize; D]) -> Register {
    Box::new(move |gradient, graph| {
        node::register(graph, id, gradient.reshape(shape));
    })
}

/// The values of all parameters of a module, in visiting order.
pub(crate) fn views<M: Module>(module: &M) -> Vec<View> {
    struct Visitor(Vec<View>);
    impl ModuleVisitor for Visitor {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(view(param.val()));
        }
    }
    let mut visitor = Visitor(Vec::new());
    module.visit(&mut visitor);
    // The graph keeps the list until the backward pass.
    visitor.0.shrink_to_fit();
    visitor.0
}
