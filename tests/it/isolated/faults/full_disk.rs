//! A disk of the server that is full: the run tries again, waits, and says what is safe.
//!
//! The server's folder is a mount of its own, in memory, which the test fills.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use crate::faults::fixture::{Behind, SOON};
use crate::support::{
    Server, ServerOptions, assert_text_snapshot, binary, disks_are_allowed, process,
};

const MIB: usize = 1 << 20;

/// None where no server can have a disk of its own.
fn start() -> Option<Behind> {
    disks_are_allowed().then(|| {
        Behind::on(Server::isolated_with(ServerOptions {
            disk_mib: Some(512),
            ..Default::default()
        }))
    })
}

/// What takes the room; gone when it is dropped.
struct Filler(PathBuf);

impl Filler {
    /// Not a byte is left.
    fn of_bytes(server: &Server) -> Self {
        let folder = Self::folder(server);
        let mut file = File::create(folder.0.join("bytes")).unwrap();
        let piece = vec![1; MIB];
        let full = (0..4096).find_map(|_| file.write_all(&piece).err()).expect("the disk is small");
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        while file.write_all(b"1").is_ok() {}
        folder
    }

    /// No file can be made, although there is room for bytes.
    fn of_files(server: &Server) -> Self {
        let folder = Self::folder(server);
        let full = (0..200_000)
            .find_map(|number| File::create(folder.0.join(number.to_string())).err())
            .expect("the disk has few files");
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        folder
    }

    fn folder(server: &Server) -> Self {
        let folder = server.directory_on_its_disk().join("filler");
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
#[ignore = "slow: about 8 s"]
fn a_run_waits_until_there_is_room_again() {
    let Some(behind) = start() else { return };
    let server = &behind.orders.server;
    for (fill, words) in [
        (Filler::of_bytes as fn(&Server) -> Filler, "not enough space"),
        (Filler::of_files, "No space left on device"),
    ] {
        behind.begin_again();
        // The wait uses up no attempt.
        let tool = behind.tool().args(&["--max-retries", "0", "--log-file", "run.log"]);
        let running = behind.half_way_with(tool);
        let log = running.folder().join("run.log");
        let full = fill(server);
        behind.proxy.pass();
        let tried = || {
            fs::read_to_string(&log).is_ok_and(|log| {
                log.contains(words) && log.contains("the same bytes are sent again")
            })
        };
        assert!(process::wait_until(SOON, tried), "{words}: {}", fs::read_to_string(&log).unwrap());
        drop(full);
        let output = running.wait().expect(0);
        assert!(behind.orders.figure("retries") >= 1 && output.stderr.contains(words), "{output}");
        for part in ["the disk of the target is full, waiting up to ", "default (", " MiB free"] {
            assert!(output.stderr.contains(part), "{part}\n{output}");
        }
        behind.orders.assert_complete();
    }
}

#[test]
#[ignore = "slow: about 9 s"]
fn a_run_that_has_waited_long_enough_says_what_is_safe() {
    let Some(behind) = start() else { return };
    // Records in tables would be waited for as well.
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file:{}", folder.path().display());
    let tool = || behind.tool().env("RESTART", "false").args(&["--ledger", &place]);
    let running = behind.half_way_with(tool().args(&["--max-retries", "1", "--outage-wait", "2s"]));
    let full = Filler::of_bytes(&behind.orders.server);
    behind.proxy.pass();
    let output = running.wait().expect(1);
    assert!(output.failure().contains("not enough space"), "{output}");
    assert_text_snapshot!(output.failure(), @"
    exit code 1
    error: 1 of 1 chunk failed
      because: chunk 1: inserting a batch of 2,000 rows ([SIZE]) of chunk 1 into default.shipments failed after 2 attempts: Code: 243. [WORDS OF THE SERVER] (NOT_ENOUGH_SPACE)
    hint: free disk space on the server, then run the same command again to continue with the missing chunks; inserted rows stay, and rows inserted twice collapse in default.shipments by its sorting key
    ");
    let doctor = binary().envs(&behind.orders.server.environment()).args(&["doctor", "--json"]);
    let checks: Value = serde_json::from_str(&doctor.run().expect(0).stdout).unwrap();
    let disk = checks["checks"].as_array().unwrap().iter().find(|check| check["name"] == "disk");
    assert_eq!(disk.unwrap()["verdict"], "warning", "{checks}");
    drop(full);
    tool().run().expect(0);
    behind.orders.assert_complete();
}
