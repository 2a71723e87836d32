//! What the kernels of all devices need to know of a unit.

use super::super::blocks::Blocks;
use crate::pass::Phase;
use crate::precision::NumberType;
use crate::residual::{KernelForm, Residual};
use crate::scheme::{Grid, Update};
use palinode_kernels::recurrence::{self, check_updates};

/// A unit as kernels know it.
pub struct Plan {
    pub updates: Vec<recurrence::Update>,
    /// The form of all residuals, except for `input_bias`, which may differ between them.
    pub form: KernelForm,
    /// The grid of the state.
    pub grid: Option<Grid>,
    /// The type that the residuals are evaluated in.
    pub precision: NumberType,
}

/// The unit of `blocks` as kernels know it in `phase`; `None` if none of them supports it.
pub fn plan<R: Residual>(blocks: &Blocks<'_, R>, phase: Phase) -> Option<Plan> {
    let Blocks { residuals, scheme, site, .. } = blocks;
    // The kernels cannot drop residuals, as stochastic depth does.
    if !site.survival.is_empty() {
        return None;
    }
    let forms: Vec<KernelForm> =
        residuals.iter().map(Residual::kernel_form).collect::<Option<_>>()?;
    let same = |a: &KernelForm, b: &KernelForm| (a.form, a.activation) == (b.form, b.activation);
    let form = *forms.first()?;
    if !forms.iter().all(|other| same(other, &form)) {
        return None;
    }
    let updates = (0..blocks.count()).flat_map(|block| scheme.updates(block));
    let updates: Vec<_> = updates.map(Update::for_kernels).collect::<Option<_>>()?;
    // The kernels may not support a user-defined scheme.
    check_updates(&updates, residuals.len()).ok()?;
    let (grid, precision) = (site.grid_in(phase), site.precision_in(phase));
    Some(Plan { updates, form, grid, precision })
}
