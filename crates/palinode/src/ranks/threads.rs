//! Ranks that are threads of one process.

use super::link::{Channel, Link};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Links between `count` threads. Each thread makes its own network: clones of a network share their running statistics.
pub fn links(count: usize) -> Vec<ThreadLink> {
    let post = Arc::new(Post::default());
    (0..count).map(|rank| ThreadLink { rank, count, post: Arc::clone(&post) }).collect()
}

/// The link of one thread. Dropped, it takes the others along: they panic when they wait for this one.
#[derive(Debug)]
pub struct ThreadLink {
    rank: usize,
    count: usize,
    post: Arc<Post>,
}

/// All messages that are under way.
#[derive(Debug, Default)]
struct Post {
    boxes: Mutex<Boxes>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Boxes {
    /// By sender, receiver and channel.
    messages: HashMap<(usize, usize, Channel), VecDeque<Vec<u8>>>,
    /// Ranks that are gone.
    gone: Vec<usize>,
}

impl Post {
    fn boxes(&self) -> MutexGuard<'_, Boxes> {
        self.boxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link for ThreadLink {
    fn count(&self) -> usize {
        self.count
    }

    fn rank(&self) -> usize {
        self.rank
    }

    /// # Panics
    /// If the partner's link has been dropped, or if its message has another length.
    fn exchange(&self, partner: usize, channel: Channel, out: &[u8], into: &mut [u8]) {
        let mut boxes = self.post.boxes();
        let sent = boxes.messages.entry((self.rank, partner, channel)).or_default();
        sent.push_back(out.to_vec());
        self.post.arrived.notify_all();
        loop {
            let waiting = boxes.messages.get_mut(&(partner, self.rank, channel));
            if let Some(message) = waiting.and_then(VecDeque::pop_front) {
                assert_eq!(message.len(), into.len(), "rank {partner} has sent another message");
                into.copy_from_slice(&message);
                return;
            }
            assert!(!boxes.gone.contains(&partner), "rank {partner} is gone");
            boxes = self.post.arrived.wait(boxes).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for ThreadLink {
    fn drop(&mut self) {
        self.post.boxes().gone.push(self.rank);
        self.post.arrived.notify_all();
    }
}
