//! The pack `shop`: deliveries in CSV by month, items with their products, daily sales.

use tempfile::TempDir;

use crate::support::{Binary, Server, binary};

const MONTH: &str = "202510";

/// The rows of each object; `count` are the items.
fn deliver(server: &Server, folder: &TempDir, count: u64, discount: &str) {
    let orders = count / 3;
    let moment = "toDateTime('2025-10-01 00:00:00', 'UTC') + intDiv(number, 3) * 6000";
    let objects = [
        (
            "customers.csv",
            "SELECT number + 1 AS customer_id, if(number % 5 = 0, 'two\\nlines, \"quoted\"', 'one') AS name, 'c@example.com' AS email, \
             'DE' AS country, 'consumer' AS segment, '2025-01-01 00:00:00' AS created_at, '2025-10-01 00:00:00' AS updated_at FROM numbers(20)".to_owned(),
        ),
        // One product that items have is missing.
        (
            "products.csv.gz",
            "SELECT number + 1 AS product_id, concat('SKU-', leftPad(toString(number), 5, '0')) AS sku, concat('Product ', toString(number)) AS name, \
             ['books', 'toys'][number % 2 + 1] AS category, '9.99' AS list_price, '2025-10-01 00:00:00' AS updated_at FROM numbers(9)".to_owned(),
        ),
        (
            "orders.csv",
            format!(
                "SELECT intDiv(number, 3) + 1 AS order_id, number % 20 + 1 AS customer_id, {moment} AS ordered_at, 'completed' AS status, 'EUR' AS currency \
                 FROM numbers({orders} * 3) WHERE number % 3 = 0"
            ),
        ),
        (
            "order_items.csv",
            format!(
                "SELECT intDiv(number, 3) + 1 AS order_id, number % 3 + 1 AS line, number % 10 + 1 AS product_id, {moment} AS ordered_at, \
                 number % 4 + 1 AS quantity, toString(toDecimal64(number % 700, 2) / 7) AS unit_price, '{discount}' AS discount FROM numbers({count})"
            ),
        ),
    ];
    let month = folder.path().join(MONTH);
    for (name, sql) in objects {
        let path = month.join(name).display().to_string();
        server.query_with(
            &format!("INSERT INTO FUNCTION file('{path}', 'CSVWithNames') {sql}"),
            &[("engine_file_truncate_on_insert", "1")],
        );
    }
}

#[test]
#[ignore = "slow: about 12 s"]
fn a_month_of_deliveries_becomes_daily_sales() {
    let server = Server::shared_here();
    let folder = TempDir::with_prefix("shop-").unwrap();
    binary().envs(&server.environment()).args(&["pack", "apply", "shop"]).run().expect(0);
    let tool = |arguments: &[&str]| -> Binary {
        binary()
            .envs(&server.environment())
            .env("OBJECTS_ROOT", format!("file:{}", folder.path().display()))
            .env("PARTITION", MONTH)
            .args(arguments)
    };
    let run = ["run", "--job", "shop/month", "--engine", "server"];
    deliver(&server, &folder, 1200, "0");
    tool(&run).run().expect(0);
    let all = "SELECT count(), uniqExact(order_id), sum(amount), countIf(category = 'books'), countIf(category = '') FROM order_items_enriched";
    let direct = "SELECT count(), uniqExact(order_id), sum(quantity * unit_price - discount), countIf(product_id % 2 = 1), countIf(product_id = 10) FROM order_items";
    assert_eq!(server.text(all), server.text(direct));
    assert!(server.text(all).starts_with("1200\t400\t"), "{}", server.text(all));
    assert_eq!(
        server.text("SELECT count(), countIf(name LIKE 'two\\nlines%') FROM customers FINAL"),
        "20\t4"
    );
    let sales = || {
        let query = ["query", "shop/daily-sales", "--format", "TSV"];
        let of = ["--param", "from=2025-10-01", "--param", "to=2025-11-01"];
        tool(&query).env_remove("PARTITION").args(&of).run().expect(0).stdout
    };
    let by_day = "SELECT toDate(ordered_at) AS d, ['', 'books', 'toys'][multiIf(product_id = 10, 1, product_id % 2 = 1, 2, 3)] AS c, count(), sum(quantity), \
        sum(quantity * unit_price - discount), uniqExact(order_id) FROM order_items GROUP BY d, c ORDER BY d, c";
    assert_eq!(sales().trim_end(), server.text(by_day));
    tool(&["verify", "--job", "shop/month"]).run().expect(0);

    // Delivered anew: fewer orders, with discounts.
    deliver(&server, &folder, 900, "0.25");
    tool(&run).arg("--restart").run().expect(0);
    assert_eq!(sales().trim_end(), server.text(by_day));
    assert_eq!(server.text("SELECT sum(items) FROM daily_sales"), "900");
    assert_eq!(
        server.text("SELECT sum(discount), (SELECT count() FROM orders) FROM order_items_enriched"),
        "225\t300"
    );
}
