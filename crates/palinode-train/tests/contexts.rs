//! Two trainings with different instruction sets in one process give what each gives alone.
#![allow(clippy::unwrap_used)]

use palinode::{Context, Isa};
use palinode_train::recipe::{QUICK_START, Recipe, parse_override};
use palinode_train::train::{Observer, train};
use std::path::Path;

struct Silent;
impl Observer for Silent {}

/// The weights of a short training on `isa` with `threads` threads.
fn weights(isa: Isa, threads: usize) -> Vec<u8> {
    let settings = [
        format!("training.isa={isa}"),
        "training.epochs=1".to_owned(),
        "training.test=false".to_owned(),
        "data.subset=0.02".to_owned(),
        "data.validation=0.9".to_owned(),
        "model.blocks=[1,0,0]".to_owned(),
        "model.widths=[4,4,4]".to_owned(),
    ];
    let overrides: Vec<_> = settings.iter().map(|text| parse_override(text).unwrap()).collect();
    let recipe = Recipe::parse(QUICK_START, Path::new("quick-start.toml"), &overrides).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    train(recipe, &out, Context::builder().threads(threads), &mut Silent).unwrap();
    std::fs::read(out.join("weights/last.safetensors")).unwrap()
}

#[test]
fn trainings_with_different_instruction_sets_do_not_touch_each_other() {
    let other = Isa::Portable;
    let fast = [Isa::Avx512, Isa::Avx2, Isa::Neon].into_iter().find(|isa| isa.is_available());
    let Some(one) = fast else {
        println!("skipped: this machine has no other instruction set than {other}");
        return;
    };
    let alone = [weights(one, 1), weights(other, 2)];
    // (Not assert_ne: it would print the files.)
    assert!(alone[0] != alone[1], "{one} and {other} give the same bits: the test shows nothing");
    let together = std::thread::scope(|scope| {
        let threads =
            [(one, 2), (other, 1)].map(|(isa, threads)| scope.spawn(move || weights(isa, threads)));
        threads.map(|thread| thread.join().unwrap())
    });
    assert!(together[0] == alone[0], "{one} beside {other} gives other bits than alone");
    assert!(together[1] == alone[1], "{other} beside {one} gives other bits than alone");
}
