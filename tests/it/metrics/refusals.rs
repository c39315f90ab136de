//! What cannot be exported as asked is said before anything else happens.

use std::net::TcpListener;

use crate::orders::Orders;
use crate::support::{Server, assert_text_snapshot};

#[test]
fn a_busy_port_or_a_file_that_cannot_be_written_ends_the_run_before_it_begins() {
    let orders = Orders::on(Server::shared(), 100);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let busy = orders.tool().args(&["--metrics-listen", &address]).run();
    assert_text_snapshot!(busy.failure().replace(&address, "[ADDRESS]"), @"
    exit code 2
    error: cannot serve metrics on [ADDRESS]
      because: Address already in use (os error 98)
    hint: set --metrics-listen to another port; 0 lets the system choose one
    ");
    let nowhere = orders.tool().args(&["--metrics-file", "missing/backfill.prom"]).run();
    assert_text_snapshot!(nowhere.failure(), @"
    exit code 2
    error: cannot write metrics to missing/backfill.prom
      because: No such file or directory (os error 2)
    hint: set --metrics-file to a file in a directory that this user can write to
    ");
    let wrong = orders.tool().args(&["--metrics-listen", "elsewhere"]).run();
    assert_text_snapshot!(wrong.failure(), @"
    exit code 2
    error: invalid value 'elsewhere' for '--metrics-listen <ADDRESS>': it must be an address with a port, such as 127.0.0.1:9464, or a port
    hint: `--help` behind the command explains its flags
    ");
    assert_eq!(orders.target_rows(), 0);
    assert_eq!(orders.server.text("SHOW TABLES LIKE 'load\\_%'"), "", "nothing was begun");
}
