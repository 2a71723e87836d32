//! One block of any scheme backwards, with gradients.

use super::evaluation::{Differentiate, Evaluate, Evaluation};
use super::grid::rounded;
use super::sweep::{Block, by_half, previous, unblended, undamped};
use super::update::{Drift, State, Term, Update};
use crate::error::{Error, Result};

impl Block<'_> {
    /// The state before the block and the gradient with respect to it, from the state after it and the gradient
    /// with respect to that.
    ///
    /// One evaluation of F gives both the reconstruction and the gradient; Runge–Kutta methods of several stages
    /// evaluate the first ones once more. If the state before the block was stored, pass it as `known`; it is then not
    /// reconstructed.
    ///
    /// # Errors
    /// [`Error::NoInverse`] if an update has no inverse and no state is known, and any error of `value` and `vjp`.
    pub fn unstep_with_gradient(
        self,
        state: State,
        known: Option<State>,
        gradient: State,
        value: &mut Evaluate<'_>,
        vjp: &mut Differentiate<'_>,
    ) -> Result<(State, State)> {
        let mut known = known;
        let updates = self.numbered().into_iter().enumerate().rev();
        updates.into_iter().try_fold((state, gradient), |(state, gradient), (index, numbered)| {
            // The state before the first update is that before the block.
            let known = if index == 0 { known.take() } else { None };
            self.undo_with_gradient(numbered, (state, known), gradient, (&mut *value, &mut *vjp))
        })
    }

    fn undo_with_gradient(
        self,
        (update, stage): (Update, usize),
        (state, known): (State, Option<State>),
        gradient: State,
        (value, vjp): (&mut Evaluate<'_>, &mut Differentiate<'_>),
    ) -> Result<(State, State)> {
        let of = |term: Term, more: usize| Evaluation::of(term, stage + more);
        Ok(match update {
            Update::TwoStream { first, second } => {
                let cotangent = gradient.second.clone() * second.scale;
                let (value, product) = vjp(of(second, 1), state.first.clone(), cotangent)?;
                let (known_y, known_z) = known.map(|known| (known.first, known.second)).unzip();
                let z = known_z.unwrap_or_else(|| state.second - self.scaled(value, second.scale));
                let gradient_y = gradient.first + product;

                let cotangent = gradient_y.clone() * first.scale;
                let (value, product) = vjp(of(first, 0), z.clone(), cotangent)?;
                let y = known_y.unwrap_or_else(|| state.first - self.scaled(value, first.scale));
                let gradient_z = gradient.second + product;
                (State { first: y, second: z }, State { first: gradient_y, second: gradient_z })
            }
            Update::TwoStep { drift, residual } => {
                let cotangent = gradient.second.clone() * residual.scale;
                let (value, product) = vjp(of(residual, 0), state.first.clone(), cotangent)?;
                let before = known.unwrap_or_else(|| {
                    let increment = self.scaled(value, residual.scale);
                    let first = previous(drift, &state.first, state.second, increment);
                    State { first, second: state.first }
                });
                let product = gradient.first + product;
                let gradient = match drift {
                    Drift::Previous => State { first: gradient.second, second: product },
                    Drift::Extrapolated => State {
                        second: product + gradient.second.clone() * 2.0,
                        first: gradient.second.neg(),
                    },
                };
                (before, gradient)
            }
            Update::Damped { current, previous, residual } => {
                let cotangent = gradient.second.clone() * residual.scale;
                let (value, product) = vjp(of(residual, 0), state.first.clone(), cotangent)?;
                let before = known.unwrap_or_else(|| {
                    let increment = value * residual.scale;
                    let factors = (current, previous);
                    let first = undamped(factors, &state.first, state.second, increment);
                    State { first, second: state.first }
                });
                let second = gradient.first + product + gradient.second.clone() * current;
                (before, State { first: gradient.second * -previous, second })
            }
            Update::Stage { changed, kept, increment } => {
                let State { first: a, second: b } = by_half(changed, state);
                let State { first: ga, second: gb } = by_half(changed, gradient);
                let (added, product) = increment.vjp(b.clone(), &ga, stage, (value, vjp))?;
                let before = known.unwrap_or_else(|| {
                    let a = unblended(a - rounded(added, self.grid), &b, kept);
                    by_half(changed, State { first: a, second: b })
                });
                let gb = gb + product;
                let (ga, gb) = match kept == 1.0 {
                    true => (ga, gb),
                    false => (ga.clone() * kept, gb + ga * (1.0 - kept)),
                };
                (before, by_half(changed, State { first: ga, second: gb }))
            }
            Update::OneStep { residual } => {
                let before = known.ok_or(Error::NoInverse)?;
                let cotangent = gradient.second.clone() * residual.scale;
                let (_, product) = vjp(of(residual, 0), before.second.clone(), cotangent)?;
                let first = gradient.second.zeros_like();
                // The state after the block, (X_j, X_{j+1}), contains X_j too.
                let second = gradient.first + gradient.second + product;
                (before, State { first, second })
            }
        })
    }
}
