//! The system image: what is built is what is read, and nothing that is handed over
//! in its stead makes the reader panic or accept it.
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tern_abi::layout::CHANNEL_BASE;
use tern_config::image::{IMAGE_VERSION, NAME_MAX};
use tern_config::*;

fn two_sandboxes() -> System {
    let program = Runs::Program {
        file: "load".into(),
        argument: 7,
        heap_pages: 1,
        stack_pages: 4,
        simulates: None,
    };
    let thread = |name: &str, runs| Thread {
        name: name.into(),
        runs,
        ..Thread::default()
    };
    let server = |name: &str, threads| Server {
        name: name.into(),
        room: 16,
        threads,
        ..Server::default()
    };
    let sandbox = |name: &str, core, servers| Sandbox {
        name: name.into(),
        core,
        memory_bytes: 16 << 20,
        kernel: "tern-kernel".into(),
        servers,
        ..Sandbox::default()
    };
    System {
        name: "two".into(),
        platform: "none".into(),
        trace_bytes: 1 << 20,
        sandboxes: vec![
            sandbox(
                "alpha",
                0,
                vec![
                    server(
                        "first",
                        vec![thread("a", program.clone()), thread("b", Runs::Nothing)],
                    ),
                    server("empty", vec![]),
                    server("last", vec![thread("c", Runs::Nothing)]),
                ],
            ),
            sandbox("beta", 1, vec![]),
        ],
        channels: vec![
            Channel {
                name: "up".into(),
                writer: 0,
                readers: vec![1],
                bytes: 4096,
                doorbell: None,
                seal: None,
                seal_from: 0,
                close: None,
            },
            Channel {
                name: "wide".into(),
                writer: 1,
                readers: vec![0],
                bytes: (2 << 20) + 4096,
                doorbell: None,
                seal: None,
                seal_from: 0,
                close: None,
            },
            Channel {
                name: "down".into(),
                writer: 1,
                readers: vec![0],
                bytes: 8192,
                doorbell: Some(50_000_000),
                seal: None,
                seal_from: 0,
                close: None,
            },
        ],
        ..System::default()
    }
}

fn image() -> Vec<u8> {
    ImageBuilder::new(&two_sandboxes())
        .file("tern-kernel", &[1; 5000])
        .file("load", b"program")
        .file("empty", b"")
        .build()
        .unwrap()
}

/// The image with a word of its header or table changed and the checksum made good, as
/// a builder with a fault would write it.
fn resealed(at: usize, value: u64) -> Vec<u8> {
    let mut bytes = image();
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    let length = u64::from_le_bytes(bytes[16..24].try_into().unwrap()) as usize;
    let checksum = Sha256::digest(&bytes[56..length]);
    bytes[24..56].copy_from_slice(&checksum);
    bytes
}

#[test]
fn what_is_built_is_read_back() {
    let bytes = image();
    for read in [
        Image::parse(&bytes).unwrap(),
        Image::parse_verified(&bytes).unwrap(),
    ] {
        assert_eq!(*read.system(), two_sandboxes());
        assert_eq!(read.file("tern-kernel").unwrap(), [1; 5000]);
        assert_eq!(read.file("load").unwrap(), b"program");
        assert_eq!(read.file("empty").unwrap(), b"");
        assert_eq!(read.file("loa"), None);
        // Behind it is what each sandbox alone is given: nothing here.
        let private = Private::parse(&bytes[read.len()..]).unwrap();
        assert_eq!((private.of(0), private.of(1)), (&[][..], &[][..]));
        for (name, contents) in read.files() {
            let offset = contents.as_ptr() as usize - bytes.as_ptr() as usize;
            assert_eq!(offset % 4096, 0, "{name}");
        }
    }
}

#[test]
fn bytes_after_the_image_are_ignored() {
    let mut bytes = image();
    bytes.extend_from_slice(&[0xee; 777]);
    assert_eq!(*Image::parse(&bytes).unwrap().system(), two_sandboxes());
}

#[test]
fn each_fault_of_an_image_has_its_line() {
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            vec![],
            "the boot module is not a system image: boot one made by `cargo xtask image`",
        ),
        (
            b"\x7fELF and so on".to_vec(),
            "the boot module is not a system image: boot one made by `cargo xtask image`",
        ),
        (
            image()[..50].to_vec(),
            "system image truncated, 50 of 80 bytes: copy it again or rebuild it with `cargo xtask image`",
        ),
        (
            image()[..9000].to_vec(),
            "system image truncated, 9000 of 16384 bytes: copy it again or rebuild it with `cargo xtask image`",
        ),
        (
            resealed(8, IMAGE_VERSION + 1),
            "system image of format 8, this build reads format 7: rebuild it with `cargo xtask image`",
        ),
        (
            {
                let mut flipped = image();
                flipped[5000] ^= 4;
                flipped
            },
            "system image damaged, its checksum does not match: copy it again or rebuild it with `cargo xtask image`",
        ),
        (
            resealed(56, u64::MAX),
            "system image has a bad file table: rebuild it with `cargo xtask image`",
        ),
        (
            resealed(80 + 48, u64::MAX - 4095),
            "system image has a bad file table: rebuild it with `cargo xtask image`",
        ),
        (
            resealed(64, u64::MAX),
            "system image has a bad system description: rebuild it with `cargo xtask image`",
        ),
        (
            resealed(80 + 64, u64::from_le_bytes(*b"laod\0\0\0\0")),
            "system image lacks the file \"load\": add it and rebuild it with `cargo xtask image`",
        ),
    ];
    for (bytes, line) in cases {
        assert_eq!(Image::parse(&bytes).unwrap_err().to_string(), line);
    }
}

#[test]
fn an_image_is_refused_at_its_making() {
    let mut dangling = two_sandboxes();
    dangling.channels[0].readers.push(2);
    let mut roomless = two_sandboxes();
    roomless.sandboxes[0].servers[1].room = 0;
    let mut unvoted = two_sandboxes();
    unvoted.replica_sets.push(ReplicaSet {
        program: "load".into(),
        ..ReplicaSet::default()
    });
    let long = "n".repeat(NAME_MAX + 1);
    let cases = [
        (
            two_sandboxes(),
            vec!["tern-kernel"],
            "system image lacks the file \"load\"",
        ),
        (
            two_sandboxes(),
            vec!["tern-kernel", "load", "load"],
            "file \"load\" given twice",
        ),
        (
            two_sandboxes(),
            vec!["tern-kernel", "load", ""],
            "file name \"\" does not fit",
        ),
        (
            two_sandboxes(),
            vec!["tern-kernel", "load", &long],
            "does not fit a system image",
        ),
        (
            dangling,
            vec!["tern-kernel", "load"],
            "bad system description",
        ),
        (
            unvoted,
            vec!["tern-kernel", "load"],
            "bad system description",
        ),
        (
            roomless,
            vec!["tern-kernel", "load"],
            "server \"empty\" has no room for replenishments",
        ),
    ];
    for (system, files, reason) in cases {
        let mut builder = ImageBuilder::new(&system);
        for file in files {
            builder.file(file, b"x");
        }
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn channels_lie_one_after_another_from_large_page_to_large_page() {
    let system = two_sandboxes();
    let offsets = [0, 1, 2]
        .map(|channel| channel_address(&system, channel).unwrap().as_u64() - CHANNEL_BASE.as_u64());
    assert_eq!(offsets, [0, 2 << 20, 6 << 20]);
    assert_eq!(channel_address(&system, 3), None);
}

#[test]
fn threads_are_numbered_over_all_servers_of_their_sandbox() {
    let sandbox = &two_sandboxes().sandboxes[0];
    let numbers =
        [(0, 0), (0, 1), (1, 0), (2, 0), (3, 0)].map(|(s, t)| sandbox.thread_number(s, t));
    assert_eq!(numbers, [Some(0), Some(1), None, Some(2), None]);
}

#[test]
fn a_machine_too_small_is_named_with_what_it_lacks() {
    let mut without_memory = two_sandboxes();
    without_memory.sandboxes[1].memory_bytes = 0;
    // Two sandboxes of 16 MiB, two rings of 1 MiB and channels of 2, 4 and 2 MiB; and for each
    // sandbox 512 KiB, and a page table for each 2 MiB of its memory.
    let enough = (44 << 20) + 2 * ((512 + 32) << 10);
    let machine = |cores, memory_bytes| Machine {
        cores,
        memory_bytes,
    };
    let cases = [
        (two_sandboxes(), machine(2, enough), None),
        (
            two_sandboxes(),
            machine(1, enough),
            Some(
                "sandbox \"beta\" wants core 1, the machine has 1 (0 to 0): \
                 use a machine with 2 cores or move the sandbox",
            ),
        ),
        (
            two_sandboxes(),
            machine(2, enough - 1),
            Some(
                "the system takes 46 MiB of memory, the machine has 45 MiB free: \
                 add memory or give sandboxes and traces less",
            ),
        ),
        (
            without_memory,
            machine(2, enough),
            Some("sandbox \"beta\" has no memory: give it a `memory` and rebuild the image"),
        ),
    ];
    for (system, machine, line) in cases {
        let error = check_machine(&system, &machine)
            .err()
            .map(|error| error.to_string());
        assert_eq!(error.as_deref(), line);
    }
}

proptest! {
    #[test]
    fn a_truncated_image_is_refused(length in 0..16384_usize) {
        prop_assert!(Image::parse(&image()[..length]).is_err());
        prop_assert!(Image::parse_verified(&image()[..length]).is_err());
    }

    #[test]
    fn a_flipped_bit_is_noticed(at in 0..16384_usize, bit in 0..8) {
        let mut bytes = image();
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(Image::parse(&bytes).is_err());
        // Without the checksum anything may be read, but nothing may panic.
        if let Ok(image) = Image::parse_verified(&bytes) {
            image.files().for_each(drop);
            let _ = image.system().memory_bytes();
        }
    }

    #[test]
    fn arbitrary_contents_under_a_good_header_do_not_panic(
        tail in proptest::collection::vec(any::<u8>(), 56..2000),
    ) {
        let mut bytes = image()[..56].to_vec();
        bytes.extend_from_slice(&tail);
        let length = bytes.len() as u64;
        bytes[16..24].copy_from_slice(&length.to_le_bytes());
        let _ = Image::parse_verified(&bytes);
    }
}
