//! The reader of boot images, as hypervisor and kernel use it: any bytes are an image all
//! of whose parts can be followed, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use tern_config::{Description, Image, ImageBuilder};

/// A sound image, to be spoiled: nonsense alone would hardly get past its beginning.
fn sound() -> &'static [u8] {
    static SOUND: OnceLock<Vec<u8>> = OnceLock::new();
    SOUND.get_or_init(|| {
        let text = include_str!("../../../base/config/tests/full.toml");
        let mut system = Description::parse("full.toml", text)
            .expect("a sound description")
            .system;
        let sandboxes = system.sandboxes.iter_mut();
        for server in sandboxes.flat_map(|sandbox| &mut sandbox.servers) {
            server.room = 16;
        }
        let mut builder = ImageBuilder::new(&system);
        let mut names: Vec<&str> = system.files().collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            builder.file(name, name.as_bytes());
        }
        builder.build().expect("a sound image")
    })
}

fn read(bytes: &[u8]) {
    let _ = Image::parse(bytes);
    let Ok(image) = Image::parse_verified(bytes) else {
        return;
    };
    let system = image.system();
    for name in system.files() {
        assert!(image.file(name).is_some());
    }
    assert!(image.len() <= bytes.len());
    assert!(system.references_hold());
    for (name, contents) in image.files() {
        let _ = (name, tern_config::program_pages(contents));
    }
}

fuzz_target!(|data: &[u8]| {
    read(data);
    // Each three bytes: a place in the head or the description, and what comes there.
    let mut spoiled = sound().to_vec();
    for change in data.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let place = place % spoiled.len();
        spoiled[place] = change[2];
    }
    read(&spoiled);
});
