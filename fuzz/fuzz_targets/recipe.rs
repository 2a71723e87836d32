//! Recipes and experiment files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palinode_fuzz::read;
use palinode_train::experiment::Plan;
use palinode_train::recipe::Recipe;

fuzz_target!(|bytes: &[u8]| {
    read("q7x.toml", bytes, |path| {
        let recipe = Recipe::load(path, &[]).map_err(|error| error.to_string())?;
        // A model that does not exist, or does not fit, is named by its field.
        let _ = recipe.network(3, [32, 32], 10);
        let _ = recipe.resolved();
        Ok(())
    });
    read("q7y.toml", bytes, |path| Plan::load(path).map_err(|error| error.to_string()));
});
