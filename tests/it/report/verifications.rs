//! What comparisons found is kept with the load.

use serde_json::Value;

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::{Binary, Server, binary};

fn tool(orders: &Orders, command: &str) -> Binary {
    let tool = binary().file("job.toml", JOB).envs(&orders.server.environment());
    tool.args(&[command, "--job", "job.toml", "--partition", PARTITION])
}

#[test]
#[ignore = "slow: about 8 s"]
fn each_comparison_is_kept_with_the_load_that_it_was_of() {
    let orders = Orders::on(Server::shared(), 2000);
    let server = &orders.server;
    tool(&orders, "verify").run().expect(4);
    assert_eq!(
        server.text("SHOW TABLES LIKE 'load\\_%'"),
        "",
        "what is not recorded has no record of its verification"
    );
    orders.tool().run().expect(0);
    tool(&orders, "verify").args(&["--sample", "1/2"]).run().expect(0);
    server.query("ALTER TABLE shipments UPDATE note = 'wrong' WHERE order_id IN (11, 12) SETTINGS mutations_sync = 2");
    let found: Value =
        serde_json::from_str(&tool(&orders, "verify").arg("--json").run().expect(4).stdout)
            .unwrap();
    tool(&orders, "repair").run().expect(0);
    let kept = server.text(
        "SELECT groupArray((equal, differences, sample)) FROM (SELECT * FROM load_verifications FINAL ORDER BY verified_at)
         WHERE run_id = (SELECT run_id FROM load_state FINAL WHERE is_current) AND partition_id = '202506'",
    );
    assert_eq!(
        kept,
        "[(true,0,'1/2'),(false,2,''),(false,2,''),(true,0,'after a repair, the groups that differed')]"
    );
    let report = server.text("SELECT report FROM load_verifications FINAL WHERE sample = '' ORDER BY verified_at LIMIT 1 FORMAT TSVRaw");
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap(), found, "what was printed");
}

#[test]
fn files_keep_them_too_and_a_verification_does_not_mind_that_it_cannot_be_kept() {
    let orders = Orders::on(Server::shared(), 1000);
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file:{}", folder.path().display());
    orders.tool().args(&["--ledger", &place]).run().expect(0);
    tool(&orders, "verify").args(&["--ledger", &place]).run().expect(0);
    let of_run =
        folder.path().join("verifications").join(orders.summary()["run_id"].as_str().unwrap());
    let files: Vec<_> =
        std::fs::read_dir(&of_run).unwrap().map(|entry| entry.unwrap().path()).collect();
    let kept: Value = serde_json::from_slice(&std::fs::read(&files[0]).unwrap()).unwrap();
    assert_eq!(
        (files.len(), &kept["equal"], &kept["differences"]),
        (1, &Value::from(true), &Value::from(0)),
        "{kept}"
    );

    std::fs::remove_dir_all(folder.path().join("verifications")).unwrap();
    std::fs::write(folder.path().join("verifications"), "in the way").unwrap();
    let output = tool(&orders, "verify").args(&["--ledger", &place]).run().expect(0);
    assert!(output.stderr.contains("the result is not in the ledger"), "{output}");
}
