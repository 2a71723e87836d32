//! Images told apart by a number.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The first 128 bits of the SHA-256 of an image's bytes. Two images with the same one are the same image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Digest(u128);

impl Digest {
    /// That of an image.
    pub fn of(image: &[u8]) -> Self {
        let sum = Sha256::digest(image);
        Self(sum.iter().take(16).fold(0, |number, &byte| number << 8 | u128::from(byte)))
    }

    /// Its bytes.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_beginning_of_sha_256() {
        // FIPS 180-4, the example "abc": ba7816bf 8f01cfea 414140de 5dae2223 …
        let expected = 0xba78_16bf_8f01_cfea_4141_40de_5dae_2223;
        assert_eq!(Digest::of(b"abc"), Digest(expected));
        assert_eq!(Digest::of(b"abc").bytes()[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_ne!(Digest::of(b"abd"), Digest::of(b"abc"));
    }
}
