//! Runs and data that are refused.

use super::*;

#[test]
fn another_network_data_or_setting_does_not_continue_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let begin = |name: &str| {
        let run = folder.path().join(name);
        let mut watch = Watch { stop_after: Some(3), ..Watch::default() };
        assert!(trainer(&settings(2)).train(&run, &mut watch).is_err());
        run
    };
    let run = begin("run");
    let message = |result: Result<Outcome>| result.unwrap_err().to_string();
    let resume = |trainer: Trainer<Own>| message(trainer.resume(&run, &mut Watch::default()));

    let mut wider = config(4);
    wider.widths[2] = 8;
    let wider = Trainer::new(own(&wider, 1), data(80, 4)).with_settings(settings(2));
    let text = resume(wider);
    assert!(text.contains("widths: [4,4,6] when the run began, now [4,4,8]"), "{text}");

    let device = Device::flex().autodiff();
    let other =
        config(4).init_with(1, Differentiation::Reversible, &device, |site, generator, device| {
            let shape = [site.channels, site.channels, 3, 3];
            Other { kernel: Param::from_tensor(generator.normal(shape, 0.2, device)) }
        });
    let other = Trainer::new(other.unwrap(), data(80, 4)).with_settings(settings(2));
    let text = message(other.resume(&run, &mut Watch::default()));
    assert!(text.contains("residual: Own when the run began, now Other"), "{text}");

    let text = resume(Trainer::new(own(&config(4), 1), data(84, 4)).with_settings(settings(2)));
    assert!(text.contains("data: the training images are not those"), "{text}");
    let text = resume(trainer(&settings(2).with_seed(6)));
    assert!(text.contains("seed: 5 when the run began, now 6"), "{text}");

    // Other versions of the format, and one without a version.
    let file = run.join("checkpoints/latest.safetensors");
    let whole = std::fs::read(&file).unwrap();
    let (arrays, metadata) = load_arrays(&file).unwrap();
    std::fs::remove_file(run.join("checkpoints/previous.safetensors")).unwrap();
    for (version, words) in [(Some("2"), "version 2"), (None, "version 1")] {
        let mut metadata = metadata.clone();
        match version {
            Some(version) => metadata.insert("palinode.checkpoint".into(), version.into()),
            None => metadata.remove("palinode.checkpoint"),
        };
        save_arrays(&file, &arrays, &metadata).unwrap();
        let text = resume(trainer(&settings(2)));
        assert!(text.contains(words) && text.contains("reads version 5"), "{text}");
    }
    let mut broken = arrays.clone();
    broken.remove("optimizer.momentum.head.bias");
    save_arrays(&file, &broken, &metadata).unwrap();
    let text = resume(trainer(&settings(2)));
    assert!(text.contains("latest.safetensors: damaged: its checksum is"), "{text}");
    std::fs::write(&file, whole).unwrap();
    trainer(&settings(2)).resume(&run, &mut Watch::default()).unwrap();
}

#[test]
fn data_that_cannot_be_meant_is_refused_and_a_broken_image_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let message = |result: Result<TrainingData>| result.err().unwrap().to_string();
    let options = SplitOptions::default();
    let test = || Rows::new(20, 0, 4);
    let data = TrainingData::split(Rows::new(80, 0, 4), options).unwrap();
    let text = message(data.clone().with_test(test(), 3));
    assert!(text.contains("20 of 20 test images are also among the training images"), "{text}");
    let text = message(data.clone().with_test(Rows::new(20, 500, 3), 0));
    assert!(text.contains("no class `3`"), "{text}");
    let text = message(TrainingData::split(Rows::new(0, 0, 4), options));
    assert!(text.contains("leaves no image"), "{text}");
    let broken = Rows { broken: Some(17), ..Rows::new(80, 0, 4) };
    let text = message(TrainingData::split(broken, options));
    assert!(text.contains("image-17.png: broken"), "{text}");

    let misfit = Trainer::new(own(&config(3), 1), data).with_settings(settings(1));
    let text = misfit.train(&out, &mut Watch::default()).unwrap_err().to_string();
    assert!(text.contains("the network expects"), "{text}");

    // One that breaks after the run has begun.
    struct Breaking(Rows, std::sync::atomic::AtomicUsize);
    impl ImageSource for Breaking {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn channels(&self) -> usize {
            self.0.channels()
        }
        fn size(&self) -> [usize; 2] {
            self.0.size()
        }
        fn classes(&self) -> &[String] {
            self.0.classes()
        }
        fn label(&self, index: usize) -> usize {
            self.0.label(index)
        }
        fn read(&self, index: usize, into: &mut [u8]) -> Result<()> {
            let reads = self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let path = format!("image-{index}.png");
            match reads {
                0..300 => self.0.read(index, into),
                _ => Err(palinode::Error::format(path, "gone").into()),
            }
        }
    }
    let breaking = Breaking(Rows::new(80, 0, 4), 0.into());
    let data = TrainingData::split(breaking, options).unwrap();
    let gone = Trainer::new(own(&config(4), 1), data).with_settings(settings(9));
    let text = gone.train(&out, &mut Watch::default()).unwrap_err().to_string();
    assert!(text.contains("gone"), "{text}");
    assert!(out.join("checkpoints/latest.safetensors").is_file());
}
