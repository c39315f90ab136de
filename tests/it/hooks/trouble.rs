//! Hooks that fail, hang, or print much.

use std::time::{Duration, Instant};

use crate::orders::Orders;
use crate::support::shown::titled;
use crate::support::{Server, assert_text_snapshot, process};

#[test]
fn a_hook_has_no_say_in_how_the_run_ends() {
    let orders = Orders::on(Server::shared(), 1000);
    let output = orders
        .tool()
        .args(&["--hook", "on-finish=echo some words; echo others >&2; exit 7"])
        .run()
        .expect(0);
    for words in
        ["hook on-finish failed: exit status: 7; the run is not affected", "some words", "others"]
    {
        assert!(output.stderr.contains(words), "{words}\n{output}");
    }
    assert_eq!(output.stdout, "", "a hook's words are no data");
    let output =
        orders.tool().args(&["--hook", "on-finish=no-command-of-this-name"]).run().expect(0);
    assert!(output.stderr.contains("exit status: 127"), "{output}");
    // One that reads nothing, and one that prints more than a pipe holds.
    let output = orders
        .tool()
        .args(&["--hook", "on-start=true", "--hook", "on-finish=head -c 10000000 /dev/zero"])
        .run()
        .expect(0);
    assert!(
        !output.stderr.contains("not affected") && output.stderr.len() < 100_000,
        "{} bytes",
        output.stderr.len()
    );
    let failures = ["finish=true", "on-finish", "on-finish="]
        .map(|wrong| (wrong, orders.tool().args(&["--hook", wrong]).run().failure()));
    assert_text_snapshot!(titled(failures), @"
    # finish=true
    exit code 2
    error: invalid value 'finish=true' for '--hook <EVENT=CMD>': it must be on-start=CMD, on-failure=CMD or on-finish=CMD
    hint: `--help` behind the command explains its flags

    # on-finish
    exit code 2
    error: invalid value 'on-finish' for '--hook <EVENT=CMD>': it must be on-start=CMD, on-failure=CMD or on-finish=CMD
    hint: `--help` behind the command explains its flags

    # on-finish=
    exit code 2
    error: invalid value 'on-finish=' for '--hook <EVENT=CMD>': it must be on-start=CMD, on-failure=CMD or on-finish=CMD
    hint: `--help` behind the command explains its flags
    ");
    orders.assert_complete();
}

#[test]
fn a_hook_that_hangs_is_killed_with_all_that_it_started() {
    let orders = Orders::on(Server::shared(), 1000);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    // Background processes hold the output open.
    let hook =
        format!("on-finish=sleep 300 & echo $! >> {0}; echo $$ >> {0}; sleep 301", file.display());
    let began = Instant::now();
    let output = orders.tool().args(&["--hook", &hook, "--hook-timeout", "1s"]).run().expect(0);
    assert!(
        output.stderr.contains("hook on-finish took longer than 1 s and was killed"),
        "{output}"
    );
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let pids: Vec<u32> =
        std::fs::read_to_string(&file).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    let gone = || pids.iter().all(|pid| !process::is_alive(*pid));
    assert!(process::wait_until(Duration::from_secs(60), gone), "{pids:?} live on");
}
