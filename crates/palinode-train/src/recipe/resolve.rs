//! From a recipe to the network it describes, every choice made.

use super::document::Recipe;
use crate::error::{Error, Result};
use palinode::network::{NetworkConfig, StateKind, StemConfig};
use palinode::residual::BuiltInConfig;

impl Recipe {
    /// The recipe with every choice written out: what `config.toml` of a run holds.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] for an unknown model.
    pub fn resolved(mut self) -> Result<Self> {
        // Absolute, and what was found by itself too, as a run may be resumed from another directory.
        if self.data.dir.is_none() {
            self.data.dir = self.data.name.installed();
        }
        for path in [&mut self.data.dir, &mut self.training.start].into_iter().flatten() {
            *path = std::path::absolute(&path).map_err(Error::io(&path))?;
        }
        let config = self.base()?;
        let modes = self.training.mode.get_or_insert_with(|| config.usual_mode().into());
        *modes = modes.of_units(config.blocks.len())?.into();
        self.training.state.get_or_insert(StateKind::usual_for(modes));
        self.training.device.get_or_insert_default();
        let model = &mut self.model;
        model.layout.get_or_insert(config.layout);
        model.scheme.get_or_insert(config.scheme);
        model.residual.get_or_insert(config.residual);
        model.blocks.get_or_insert(config.blocks);
        model.widths.get_or_insert(config.widths);
        model.step.get_or_insert(config.step);
        model.block_norm.get_or_insert(config.block_norm);
        model.dropout.get_or_insert(config.dropout);
        model.stem.norm.get_or_insert(config.stem.norm);
        model.stem.activation.get_or_insert(config.stem.activation);
        (model.bottleneck, model.groups) = (config.bottleneck, config.groups);
        Ok(self)
    }

    /// The network for images of this kind.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] for an unknown model or settings that do not fit.
    pub fn network(
        &self,
        channels: usize,
        size: [usize; 2],
        classes: usize,
    ) -> Result<NetworkConfig> {
        let config = self.base()?.for_data(channels, size, classes);
        config.validate()?;
        Ok(config)
    }

    /// The network for the named model's usual images.
    fn base(&self) -> Result<NetworkConfig> {
        let model = &self.model;
        let mut config = NetworkConfig::named(&model.name)?;
        if let Some(scheme) = model.scheme.filter(|scheme| *scheme != config.scheme) {
            config.scheme = scheme;
            config.residual = BuiltInConfig::usual_for(scheme);
        }
        let mut config = config.with_variant(model.variant);
        let given = |number: usize| (number > 0).then_some(number);
        config.layout = model.layout.unwrap_or(config.layout);
        config.residual = model.residual.unwrap_or(config.residual);
        config.activation = model.activation;
        config.step = model.step.unwrap_or(config.step);
        config.start = model.start;
        config.options = model.options;
        if let Some(transitions) = &model.transitions {
            config.transitions.clone_from(transitions);
        }
        if let Some(blocks) = &model.blocks {
            config.blocks.clone_from(blocks);
        }
        if let Some(widths) = &model.widths {
            config.widths.clone_from(widths);
        }
        config.stem = StemConfig {
            norm: model.stem.norm.unwrap_or(config.stem.norm),
            activation: model.stem.activation.unwrap_or(config.stem.activation),
        };
        config.block_norm = model.block_norm.unwrap_or(config.block_norm);
        config.block_dropout = model.block_dropout;
        config.dropout = model.dropout.unwrap_or(config.dropout);
        config.survival = model.survival;
        config.bottleneck = given(model.bottleneck).unwrap_or(config.bottleneck);
        config.groups = given(model.groups).unwrap_or(config.groups);
        Ok(config)
    }
}
