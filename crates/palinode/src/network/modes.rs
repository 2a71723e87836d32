//! How each unit of a network is differentiated.

use crate::error::{Error, Result};
use crate::reversible::Differentiation;
use serde::de::{SeqAccess, Visitor, value::SeqAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// How the units of a network are differentiated.
///
/// In recipes: a mode, or a list with one mode per unit (`["checkpointed", "stored", "stored"]`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Modes {
    /// All units in the same mode.
    Same(Differentiation),
    /// Each unit in its own mode, from input to output.
    Each(Vec<Differentiation>),
}

impl Modes {
    /// The modes of `units` units.
    ///
    /// # Errors
    /// [`Error::Config`] where there is a list that does not have one mode per unit.
    pub fn of_units(&self, units: usize) -> Result<Vec<Differentiation>> {
        match self {
            Self::Same(mode) => Ok(vec![*mode; units]),
            Self::Each(modes) if modes.len() == units => Ok(modes.clone()),
            Self::Each(modes) => {
                let found = modes.len();
                let reason =
                    format!("a list of {found}, expected one mode for each of the {units} units");
                Err(Error::config("training.mode", reason))
            }
        }
    }

    /// Whether any unit is differentiated in `mode`.
    pub fn any(&self, mode: Differentiation) -> bool {
        match self {
            Self::Same(own) => *own == mode,
            Self::Each(modes) => modes.contains(&mode),
        }
    }
}

impl From<Differentiation> for Modes {
    fn from(mode: Differentiation) -> Self {
        Self::Same(mode)
    }
}

/// A list, or one mode where all are the same.
impl From<Vec<Differentiation>> for Modes {
    fn from(modes: Vec<Differentiation>) -> Self {
        match modes.as_slice() {
            [first, rest @ ..] if rest.iter().all(|mode| mode == first) => Self::Same(*first),
            _ => Self::Each(modes),
        }
    }
}

impl fmt::Display for Modes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same(mode) => f.pad(mode.name()),
            Self::Each(modes) => {
                let names: Vec<&str> = modes.iter().map(|mode| mode.name()).collect();
                f.pad(&names.join(", "))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Modes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Modes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "stored, checkpointed or reversible, or a list with one of them per unit",
                )
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<Modes, E> {
                Differentiation::deserialize(serde::de::value::StrDeserializer::new(name))
                    .map(Modes::Same)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> std::result::Result<Modes, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Modes::Each)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Differentiation::{Checkpointed, Stored};

    #[test]
    fn a_recipe_has_one_mode_or_one_for_each_unit() {
        let read = |json: &str| serde_json::from_str::<Modes>(json);
        let mixed = Modes::Each(vec![Checkpointed, Stored]);
        for (json, modes) in
            [("\"stored\"", Modes::Same(Stored)), ("[\"checkpointed\",\"stored\"]", mixed.clone())]
        {
            assert_eq!(read(json).unwrap(), modes);
            assert_eq!(serde_json::to_string(&modes).unwrap(), json);
        }
        assert!(read("\"stord\"").unwrap_err().to_string().contains("`checkpointed`"));
        assert!(read("3").unwrap_err().to_string().contains("one of them per unit"));
        assert_eq!(Modes::from(vec![Stored; 3]), Modes::Same(Stored));
        assert_eq!(Modes::Same(Stored).of_units(2).unwrap(), [Stored; 2]);
        assert_eq!(mixed.of_units(2).unwrap(), [Checkpointed, Stored]);
        let reason = mixed.of_units(3).unwrap_err().to_string();
        assert!(reason.contains("a list of 2, expected one mode for each of the 3"), "{reason}");
    }
}
