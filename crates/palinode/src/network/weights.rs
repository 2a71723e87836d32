//! A network's weights and running statistics as arrays under stable names.

pub use super::arrays::{Array, Arrays};
use super::classifier::Network;
pub use super::names::{Location, Names, Slot};
use crate::error::Result;
use crate::residual::Residual;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Gradients, Tensor, TensorData};

/// The network's weights and running statistics by name.
pub fn collect<R: Residual>(network: &Network<R>) -> Arrays {
    struct Visitor(Vec<Vec<f32>>);
    impl ModuleVisitor for Visitor {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(to_f32(param.val()));
        }
    }
    let mut visitor = Visitor(Vec::new());
    network.visit(&mut visitor);
    Names::of(network).stack(visitor.0)
}

/// The network's weights and running statistics where they are, flat and outside any graph, in the order of
/// a visit.
pub fn flat<R: Residual>(network: &Network<R>) -> Vec<Tensor<1>> {
    struct Visitor(Vec<Tensor<1>>);
    impl ModuleVisitor for Visitor {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.val().inner().reshape([-1]));
        }
    }
    let mut visitor = Visitor(Vec::new());
    network.visit(&mut visitor);
    visitor.0
}

/// The gradients of a network's parameters by name, with zeros for parameters that were not used.
pub fn collect_gradients<R: Residual>(network: &Network<R>, gradients: &Gradients) -> Arrays {
    struct Visitor<'a>(&'a Gradients, Vec<Vec<f32>>);
    impl ModuleVisitor for Visitor<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            // A parameter that was not used has no gradient.
            let gradient = value.grad(self.0).unwrap_or_else(|| value.inner().zeros_like());
            self.1.push(to_f32(gradient));
        }
    }
    let mut visitor = Visitor(gradients, Vec::new());
    network.visit(&mut visitor);
    let names = Names::of(network);
    let running: Vec<&Slot> = names.slots.iter().filter(|slot| !slot.trainable).collect();
    let mut arrays = names.stack(visitor.1);
    arrays.retain(|name, _| running.iter().all(|slot| slot.name != *name));
    arrays
}

/// The network with its weights and running statistics replaced by `arrays`.
///
/// Burn's modules share their running statistics with their clones. So the running statistics of clones
/// of `network` are replaced too, except in clones made by `valid`.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) naming the first array that is missing, unknown or of the wrong shape.
pub fn replace<R: Residual>(network: Network<R>, arrays: &Arrays) -> Result<Network<R>> {
    struct Mapper(std::vec::IntoIter<Vec<f32>>);
    impl ModuleMapper for Mapper {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(values) = self.0.next() else { return param };
            param.map(|old| {
                let data = TensorData::new(values, old.shape());
                let device = old.device().without_autodiff();
                let new = Tensor::from_data(data, (&device, old.dtype()));
                match old.is_autodiff() {
                    true => new.autodiff().set_require_grad(old.is_require_grad()),
                    false => new,
                }
            })
        }
    }
    let values = Names::of(&network).unstack("weights", arrays)?;
    Ok(network.map(&mut Mapper(values.into_iter())))
}

/// The network with its weights and running statistics in f64, outside any graph: for measurements that f32 would blur.
/// They are slow, and on the CPU only. Clones of `network` change too, as for [`replace`].
pub fn in_f64<R: Residual>(network: Network<R>) -> Network<R> {
    struct Mapper;
    impl ModuleMapper for Mapper {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|old| old.inner().cast(DType::F64))
        }
    }
    network.map(&mut Mapper)
}

/// The values of a tensor in f32, row-major.
pub fn to_f32<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.inner().into_data().convert::<f32>();
    data.try_into_vec().expect("converted to f32")
}
