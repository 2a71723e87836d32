//! Contexts: what they are made of, and where they compute.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use palinode_kernels::{Context, Error, Isa, Precision};

#[test]
fn instruction_sets_that_the_machine_lacks_are_refused() {
    for isa in Isa::ALL {
        let built = Context::builder().isa(isa).build();
        if isa.is_available() {
            assert_eq!(built.unwrap().isa(), isa);
        } else {
            let message = built.unwrap_err().to_string();
            assert!(message.starts_with(&format!("this machine does not have {isa}")));
            assert!(message.ends_with("portable"), "{message}");
        }
    }
    assert_eq!(Context::builder().threads(0).build().unwrap_err(), Error::NoThreads);
}

#[test]
fn work_runs_in_the_pool_of_the_context() {
    let context = Context::builder().threads(3).build().unwrap();
    assert_eq!(context.threads(), 3);
    assert_eq!(context.install(rayon::current_num_threads), 3);
    let inside = context.install(|| {
        let thread = std::thread::current().id();
        context.install(|| std::thread::current().id() == thread)
    });
    assert!(inside, "a nested call moved to another thread");
    let outside = std::thread::current().id();
    assert_eq!(Context::new().install(|| std::thread::current().id()), outside);
}

#[test]
fn bf16_is_refused_by_name_where_it_cannot_be_computed() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let context = Context::builder().isa(isa).build().unwrap();
        assert_eq!(context.check(Precision::F32), Ok(()));
        let checked = context.check(Precision::Bf16);
        if !matches!(isa, Isa::Amx | Isa::Avx512) {
            let message = checked.unwrap_err().to_string();
            assert!(message.contains("avx512_bf16") && message.contains(isa.name()));
        }
    }
}
