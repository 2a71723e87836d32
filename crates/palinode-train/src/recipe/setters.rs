//! Setters in the style of a builder.

/// `with_x => x: T`: a method `with_x` that sets field `x`.
macro_rules! setters {
    ($type:ident { $($setter:ident => $field:ident: $kind:ty),+ $(,)? }) => {
        impl $type {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $setter(mut self, $field: $kind) -> Self {
                    self.$field = $field;
                    self
                }
            )+
        }
    };
}

pub(super) use setters;
