//! Runs that start from the weights of a file.

use super::*;

#[test]
fn a_network_is_fine_tuned_on_other_classes_with_frozen_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    train(&settings(2), &first);
    let file = first.join("weights/best.safetensors");
    for name in [OptimizerName::Sgd, OptimizerName::AdamW, OptimizerName::Muon] {
        let tuned = |training: TrainingRecipe| {
            let optimizer = OptimizerRecipe::default()
                .with_name(name)
                .with_weight_decay(0.1)
                .with_decayed(Decayed::All);
            let settings = settings(2).with_optimizer(optimizer).with_training(training);
            Trainer::new(own(&config(3), 8), data(60, 3)).with_settings(settings)
        };
        let recipe = settings(2).training.with_start(Some(file.clone()));
        let frozen = vec!["stem".to_owned(), "units.1".to_owned()];
        let recipe = recipe.with_head(HeadStart::New).with_freeze(frozen);
        let out = folder.path().join(name.name());
        let mut watch = Watch::default();
        tuned(recipe.clone()).train(&out, &mut watch).unwrap();
        let report = watch.started.unwrap();
        assert_eq!(
            report.taken,
            ["stem.bias", "stem.weight", "units.0.kernel", "units.1.kernel", "units.2.kernel"]
        );
        let names: Vec<&str> = report.initialised.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names, report.unused.len()), (vec!["head.bias", "head.weight"], 0));
        let (old, new) = (weights(&first, "best"), weights(&out, "last"));
        for name in ["stem.weight", "stem.bias", "units.1.kernel"] {
            assert_eq!(old[name], new[name], "{name} is frozen");
        }
        for name in ["units.0.kernel", "units.2.kernel"] {
            assert_ne!(old[name], new[name], "{name} is trained");
        }
        assert_eq!(new["head.weight"].shape[0], 3);

        // Interrupted and resumed, the frozen ones are still frozen, and the bits are the same.
        let again = folder.path().join(format!("{}-again", name.name()));
        let mut watch = Watch { stop_after: Some(4), ..Watch::default() };
        assert!(tuned(recipe.clone()).train(&again, &mut watch).is_err());
        tuned(recipe.clone()).resume(&again, &mut Watch::default()).unwrap();
        assert_eq!(weights(&again, "last"), new);
        assert_eq!(checkpoint(&again), checkpoint(&out));

        let message = |recipe: TrainingRecipe, out: &str| {
            let out = folder.path().join(out);
            let error = tuned(recipe).train(&out, &mut Watch::default()).unwrap_err();
            assert!(!out.exists(), "a refused run leaves something behind");
            error.to_string()
        };
        let text = message(recipe.clone().with_head(HeadStart::Kept), "kept");
        assert!(text.starts_with("training.head: ") && text.contains("no class `3`"), "{text}");
        let text = message(recipe.clone().with_freeze(vec!["units.7".into()]), "seven");
        assert!(text.starts_with("training.freeze: `units.7` matches no parameter"), "{text}");
        let all = ["stem", "units", "head"].map(str::to_owned).to_vec();
        let text = message(recipe.clone().with_freeze(all), "all");
        assert!(text.contains("leaves no parameter to train"), "{text}");
        let text = message(recipe.clone().with_start(None), "none");
        assert!(text.starts_with("training.head: "), "{text}");
    }
}
