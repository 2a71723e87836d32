//! Images that stay in memory once they have been read.

use super::image_source::{ImageSource, delegated, image_len};
use crate::error::Result;
use palinode::memory::usable_bytes;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// The memory that images may be kept in; by default none.
#[derive(Debug, Default)]
pub struct Room {
    /// Bytes that are left.
    bytes: u64,
    /// Images that there was no room for.
    left_out: usize,
}

impl Room {
    /// So many bytes.
    pub fn new(bytes: u64) -> Self {
        Self { bytes, left_out: 0 }
    }

    /// Half of the memory that is free; without a limit where the system does not say how much is.
    pub fn half_of_free() -> Self {
        Self::new(usable_bytes().map_or(u64::MAX, |free| free / 2))
    }

    /// The images of `source`. Of images that are [read from files](ImageSource::listing), as many as there is room for, which
    /// is then taken, stay in memory.
    pub fn keep(&mut self, source: Arc<dyn ImageSource>) -> Arc<dyn ImageSource> {
        if source.listing().is_none() {
            return source;
        }
        let bytes = (image_len(&source) + BESIDE) as u64;
        let most = usize::try_from(self.bytes / bytes).unwrap_or(usize::MAX).min(source.len());
        self.bytes -= bytes * most as u64;
        self.left_out += source.len() - most;
        Arc::new(Kept::new(source, most))
    }

    /// What a user should know of images that there was no room for.
    pub fn remark(&self) -> Option<String> {
        let left_out = match self.left_out {
            0 => return None,
            1 => "1 picture does not fit".to_owned(),
            count => format!("{count} pictures do not fit"),
        };
        Some(format!(
            "{left_out} into the memory for pictures (data.memory); what does not is decoded each time it is needed"
        ))
    }
}

/// Bytes that an image in memory needs beside its own.
const BESIDE: usize = 64;

/// The images of another source, of which as many as there is room for stay in memory after they were first read.
///
/// Use it for a source that takes long to read, such as one that decodes files.
#[derive(Debug)]
pub struct Kept<S> {
    source: S,
    images: Vec<OnceLock<Box<[u8]>>>,
    /// How many more may be kept.
    room: AtomicUsize,
}

impl<S: ImageSource> Kept<S> {
    /// The images of `source`, at most `most` of them kept.
    pub fn new(source: S, most: usize) -> Self {
        let kept = most.min(source.len());
        // Without room there is nothing to look up.
        let places = if kept == 0 { 0 } else { source.len() };
        let images = std::iter::repeat_with(OnceLock::new).take(places).collect();
        Self { source, images, room: AtomicUsize::new(kept) }
    }

    /// Takes a place for an image, if one is left.
    fn take_place(&self) -> bool {
        let less = |room: usize| room.checked_sub(1);
        self.room.try_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

impl<S: ImageSource> ImageSource for Kept<S> {
    delegated!(|own| own.source => len channels size padding background classes label name remarks listing);
    fn read(&self, index: usize, into: &mut [u8]) -> Result<()> {
        let place = self.images.get(index);
        if let Some(image) = place.and_then(OnceLock::get) {
            into.copy_from_slice(image);
            return Ok(());
        }
        self.source.read(index, into)?;
        if let Some(place) = place.filter(|_| into.len() == image_len(&self.source))
            && self.take_place()
        {
            // Where another thread has been quicker, its copy stays.
            if place.set(into.into()).is_err() {
                self.room.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    /// Images that count how often they are read.
    struct Counted(Dataset, AtomicUsize);

    impl ImageSource for Counted {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn channels(&self) -> usize {
            1
        }
        fn size(&self) -> [usize; 2] {
            [1, 2]
        }
        fn classes(&self) -> &[String] {
            &self.0.classes
        }
        fn label(&self, index: usize) -> usize {
            usize::from(self.0.labels[index])
        }
        fn read(&self, index: usize, into: &mut [u8]) -> Result<()> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.read(index, into)
        }
    }

    #[test]
    fn as_many_images_as_there_is_room_for_are_read_once() {
        let pixels: Vec<u8> = (0..20).collect();
        let classes = vec!["a".to_owned(), "b".to_owned()];
        let images = Dataset::new(pixels.clone(), vec![0; 10], 1, [1, 2], classes);
        for (room, reads) in [(0, 30), (4, 10 + 6 + 6), (10, 10), (99, 10)] {
            let kept = Kept::new(Counted(images.clone(), AtomicUsize::new(0)), room);
            for _ in 0..3 {
                for index in 0..10 {
                    let mut image = [0; 2];
                    kept.read(index, &mut image).unwrap();
                    assert_eq!(image, pixels[2 * index..][..2]);
                }
            }
            assert_eq!(kept.source.1.load(Ordering::Relaxed), reads, "room for {room}");
            let there = kept.images.iter().filter(|image| image.get().is_some()).count();
            assert_eq!(there, room.min(10));
        }
    }

    #[test]
    fn several_threads_keep_no_more_than_there_is_room_for() {
        let classes = vec!["a".to_owned(), "b".to_owned()];
        let images = Dataset::new((0..200).collect(), vec![0; 100], 1, [1, 2], classes);
        let kept = Kept::new(images, 60);
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    for index in (0..100).chain((0..100).rev()) {
                        let mut image = [0; 2];
                        kept.read(index, &mut image).unwrap();
                        assert_eq!(usize::from(image[0]), 2 * index);
                    }
                });
            }
        });
        assert_eq!(kept.images.iter().filter(|image| image.get().is_some()).count(), 60);
    }
}
