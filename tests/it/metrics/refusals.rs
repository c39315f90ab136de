//! What cannot be exported as asked is said before anything else happens.

use std::net::TcpListener;

use crate::orders::Orders;
use crate::support::Server;

#[test]
fn a_busy_port_or_a_file_that_cannot_be_written_ends_the_run_before_it_begins() {
    let orders = Orders::on(Server::shared(), 100);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let busy = orders.tool().args(&["--metrics-listen", &address]).run().expect(2);
    for words in [
        format!("cannot serve metrics on {address}"),
        "in use".to_owned(),
        "hint: set --metrics-listen".to_owned(),
    ] {
        assert!(busy.stderr.contains(&words), "{words}\n{busy}");
    }
    let nowhere = orders.tool().args(&["--metrics-file", "missing/backfill.prom"]).run().expect(2);
    assert!(nowhere.stderr.contains("cannot write metrics to missing/backfill.prom"), "{nowhere}");
    let wrong = orders.tool().args(&["--metrics-listen", "elsewhere"]).run().expect(2);
    assert!(wrong.stderr.contains("such as 127.0.0.1:9464"), "{wrong}");
    assert_eq!(orders.target_rows(), 0);
    assert_eq!(orders.server.text("SHOW TABLES LIKE 'load\\_%'"), "", "nothing was begun");
}
