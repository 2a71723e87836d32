//! The sum of an array over all ranks, by messages between two of them.

use super::link::{Channel, Link};

/// Numbers of a buffer from which on ranks exchange halves of it.
pub const HALVED: usize = 1 << 12;

/// How much one sum has sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    pub bytes: u64,
    pub messages: u64,
}

/// A number that can be added and sent.
pub trait Number: bytemuck::Pod {
    fn plus(self, other: Self) -> Self;
}

impl Number for f32 {
    fn plus(self, other: Self) -> Self {
        self + other
    }
}

impl Number for f64 {
    fn plus(self, other: Self) -> Self {
        self + other
    }
}

/// Replaces `numbers` by their sums over all ranks.
pub fn add<T: Number>(link: &dyn Link, channel: Channel, numbers: &mut [T]) -> Sent {
    let mut sent = Sent::default();
    let mut into = vec![T::zeroed(); numbers.len()];
    let mut exchange = |partner, out: &[T], into: &mut [T]| {
        sent.bytes += size_of_val(out) as u64;
        sent.messages += 1;
        link.exchange(partner, channel, bytemuck::cast_slice(out), bytemuck::cast_slice_mut(into));
    };
    // The part of the numbers that this rank adds, and what it was part of before.
    let (mut own, mut wholes) = (0..numbers.len(), Vec::new());
    let mut bit = 1;
    while bit < link.count() {
        let partner = link.rank() ^ bit;
        let other = if own.len() >= HALVED {
            wholes.push((partner, own.clone()));
            let middle = own.start + own.len() / 2;
            let halves = [own.start..middle, middle..own.end];
            let [kept, given] = if link.rank() < partner { [0, 1] } else { [1, 0] };
            own = halves[kept].clone();
            halves[given].clone()
        } else {
            own.clone()
        };
        let into = &mut into[..own.len()];
        exchange(partner, &numbers[other], into);
        for (number, &theirs) in numbers[own.clone()].iter_mut().zip(&*into) {
            *number = number.plus(theirs);
        }
        bit *= 2;
    }
    for (partner, whole) in wholes.into_iter().rev() {
        let theirs =
            if own.start == whole.start { own.end..whole.end } else { whole.start..own.start };
        let into = &mut into[..theirs.len()];
        exchange(partner, &numbers[own.clone()], into);
        numbers[theirs].copy_from_slice(into);
        own = whole;
    }
    sent
}
