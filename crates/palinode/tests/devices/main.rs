//! Units and networks on a GPU runtime against the CPU. Debian's software Vulkan is enough.
//!
//! Without a device the tests say that they were skipped. `PALINODE_DEVICE` names another one than `wgpu`;
//! if it is set, a missing device is an error.
#![cfg(feature = "cube")]
#![allow(clippy::unwrap_used)]

#[path = "../blocks/case.rs"]
mod case;
mod device;
mod dropout;
mod gradients;
mod half;
mod networks;
mod norms;
#[path = "../support/mod.rs"]
mod support;
