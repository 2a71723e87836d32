//! An allocator that counts live bytes and keeps freed large blocks for later requests.
//!
//! A program installs it with `#[global_allocator]`:
//!
//! ```
//! use palinode_kernels::heap::Heap;
//!
//! #[global_allocator]
//! static HEAP: Heap = Heap::new();
//!
//! let before = HEAP.live();
//! let block = vec![0_u8; 1 << 20];
//! assert!(HEAP.live() >= before + block.len());
//! ```

mod allocator;
mod kept;
mod system;

pub use allocator::Heap;
pub use system::give_large_blocks_back;
