//! A full disk refuses with 503 before anything is lost, and the hub goes on by itself when there is room again.

use std::path::Path;
use std::process::Command;

use crate::hub::{Site, client};
use crate::load::send;

/// A small file system of its own; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts one; `None` where the user may not mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because a killed hub may still hold files for a moment.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        println!("SKIPPED a_full_disk_loses_nothing: mounting a small file system needs root");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let site = Site::on(&format!("sqlite://{}/trunkline.db", disk.path().display()));
        let hub = site.start();
        let client = client();
        let ballast = disk.path().join("ballast");
        let mut acknowledged = Vec::new();
        assert!(matches!(send(&client, hub.url(), "before").await, Some((202, _))));

        // Something else fills the disk to the last byte.
        let filled =
            Command::new("dd").arg("if=/dev/zero").arg(format!("of={}", ballast.display())).output().unwrap();
        assert!(!filled.status.success());
        let mut statuses = Vec::new();
        for n in 0..2_000 {
            let message = format!("full-{n}");
            let (status, id) = send(&client, hub.url(), &message).await.expect("the hub answers");
            statuses.push(status);
            match status {
                202 => acknowledged.push(id),
                503 => break,
                other => panic!("status {other}"),
            }
        }
        assert_eq!(statuses.last(), Some(&503), "the disk is full in the end");

        std::fs::remove_file(&ballast).unwrap();
        let (status, id) = send(&client, hub.url(), "after").await.expect("the hub answers");
        assert_eq!(status, 202, "the hub recovers by itself");
        acknowledged.push(id);
        for id in &acknowledged {
            let answer = hub.call(http::Method::GET, &format!("/api/v1/inbound/{id}"), None).await;
            assert_eq!(answer.status, 200, "{id} is there");
        }
        hub.kill();
        // The file is sound: the hub opens it again.
        let hub = site.start();
        let answer = hub.call(http::Method::GET, &format!("/api/v1/inbound/{}", acknowledged[0]), None).await;
        assert_eq!(answer.status, 200);
    });
}
