//! Encrypted connections: a whole run through a proxy that speaks TLS, and everything about
//! certificates that can be wrong.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::orders::Orders;
use crate::support::tls::{Authority, TlsProxy};
use crate::support::{Binary, Output, Server};

const HOST: &[&str] = &["127.0.0.1"];

fn orders(rows: u64) -> Orders {
    Orders::on(Server::shared(), rows)
}

/// Runs, expects that nothing was written and that the configuration is blamed, in these words.
#[track_caller]
fn refuses(orders: &Orders, tool: Binary, parts: &[&str]) -> Output {
    let output = tool.run().expect(2);
    for part in parts {
        assert!(output.stderr.contains(part), "{part:?} is not in the message\n{output}");
    }
    assert!(!output.stderr.contains("PRIVATE KEY-"), "{output}");
    assert_eq!(orders.target_rows(), 0, "{output}");
    output
}

#[test]
fn a_whole_run_over_tls() {
    let orders = orders(20_000);
    let (authority, others) = (Authority::new(), Authority::new());
    let proxy = TlsProxy::start(orders.server.port(), &authority.server(HOST), None);
    // More than one certificate in the file, as when two servers have authorities of their own.
    let bundle = authority.file("bundle.pem", &format!("{}{}", others.pem(), authority.pem()));
    orders
        .tool_at(&proxy.url())
        .env("CA_CERT", bundle)
        .args(&["--batch-size", "3000", "--compression", "lz4"])
        .run()
        .expect(0);
    assert!(orders.figure("batches") > 3, "{}", orders.summary());
    orders.assert_complete();
}

/// Which certificates the system trusts is said by `SSL_CERT_FILE`, here as for other programs.
#[test]
fn the_systems_roots_are_trusted() {
    let orders = orders(100);
    let authority = Authority::new();
    let proxy = TlsProxy::start(orders.server.port(), &authority.server(HOST), None);
    orders.tool_at(&proxy.url()).env("SSL_CERT_FILE", authority.ca_file()).run().expect(0);
    orders.assert_complete();
    // Those of the flag stand in their place.
    let tool = orders.tool_at(&proxy.url()).env("SSL_CERT_FILE", authority.ca_file());
    let others = Authority::new();
    let refused = tool.arg("--ca-cert").arg(others.ca_file()).run().expect(2);
    assert!(refused.stderr.contains("not signed by a trusted authority"), "{refused}");
}

#[test]
fn a_client_certificate() {
    let orders = orders(2_000);
    let (authority, others) = (Authority::new(), Authority::new());
    let proxy = TlsProxy::start(orders.server.port(), &authority.server(HOST), Some(&authority));
    let tool = || orders.tool_at(&proxy.url()).arg("--ca-cert").arg(authority.ca_file());
    let (client, stranger) = (authority.client(), others.client());
    let (cert, key) = (
        authority.file("client.pem", &client.certificate),
        authority.file("client.key", &client.key),
    );

    let asks = [
        "it requires a client certificate, or rejects the one that was sent",
        "--client-cert and --client-key",
    ];
    refuses(&orders, tool(), &asks);
    let (their_cert, their_key) = (
        others.file("client.pem", &stranger.certificate),
        others.file("client.key", &stranger.key),
    );
    refuses(&orders, tool().env("CLIENT_CERT", &their_cert).env("CLIENT_KEY", &their_key), &asks);

    refuses(
        &orders,
        tool().arg("--client-cert").arg(&cert),
        &["--client-cert and --client-key belong together"],
    );
    refuses(
        &orders,
        tool().arg("--client-key").arg(&key),
        &["--client-cert and --client-key belong together"],
    );
    refuses(
        &orders,
        tool().env("CLIENT_CERT", &cert).env("CLIENT_KEY", &their_key),
        &["client.pem of --client-cert cannot be used"],
    );
    refuses(
        &orders,
        tool().env("CLIENT_CERT", &key).env("CLIENT_KEY", &key),
        &["it holds no certificate in PEM"],
    );
    refuses(
        &orders,
        tool().env("CLIENT_CERT", &cert).env("CLIENT_KEY", &cert),
        &["no private key in PEM"],
    );

    tool().env("CLIENT_CERT", &cert).env("CLIENT_KEY", &key).run().expect(0);
    orders.assert_complete();
}

#[test]
fn certificates_that_do_not_hold() {
    let orders = orders(100);
    let (authority, others) = (Authority::new(), Authority::new());
    let ca = authority.ca_file();
    let proxy = |certified| TlsProxy::start(orders.server.port(), &certified, None);
    let with_ca = |proxy: &TlsProxy| orders.tool_at(&proxy.url()).env("CA_CERT", &ca);

    let unknown = proxy(others.server(HOST));
    refuses(
        &orders,
        with_ca(&unknown),
        &[&unknown.url(), "not signed by a trusted authority", "--ca-cert or CA_CERT"],
    );
    let elsewhere = proxy(authority.server(&["clickhouse.example", "127.0.0.2"]));
    refuses(
        &orders,
        with_ca(&elsewhere),
        &["its certificate is not for the host in the URL", "--clickhouse-url or CLICKHOUSE_URL"],
    );
    let expired = proxy(authority.expired(HOST));
    refuses(&orders, with_ca(&expired), &["its certificate has expired", "renew"]);
    let for_clients = proxy(authority.client());
    refuses(&orders, with_ca(&for_clients), &["its certificate "]);
    // Of the source's server it is said as well.
    let tool = orders.tool().env("CA_CERT", &ca).env("SOURCE_URL", unknown.url());
    refuses(
        &orders,
        tool,
        &["cannot use the source's server", &unknown.url(), "not signed by a trusted authority"],
    );
}

#[test]
fn encrypted_and_plain_do_not_meet() {
    let orders = orders(100);
    let authority = Authority::new();
    let proxy = TlsProxy::start(orders.server.port(), &authority.server(HOST), None);
    let plain_to_tls = orders.tool_at(&proxy.url().replace("https:", "http:"));
    refuses(&orders, plain_to_tls, &["its response is not plain HTTP", "an https URL"]);
    let tls_to_plain = orders
        .tool_at(&orders.server.url().replace("http:", "https:"))
        .env("CA_CERT", authority.ca_file());
    let said = refuses(&orders, tls_to_plain, &["its response is not TLS", "https_port, 8443"]);
    assert!(!said.stderr.contains("http://"), "nobody is told to go without encryption\n{said}");
    // Who names certificates wants encryption.
    let plain = orders.tool().env("CA_CERT", authority.ca_file());
    refuses(
        &orders,
        plain,
        &["a certificate is given", "the URL is http: nothing would be encrypted"],
    );
}

#[test]
fn files_that_are_no_certificates() {
    let orders = orders(100);
    let authority = Authority::new();
    let tool = |file: &std::path::Path| orders.tool_at("https://127.0.0.1:1").env("CA_CERT", file);
    let missing = authority.ca_file().with_file_name("missing.pem");
    refuses(&orders, tool(&missing), &["missing.pem of --ca-cert cannot be read"]);
    for text in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nnonsense\n"] {
        refuses(
            &orders,
            tool(&authority.file("ca.pem", text)),
            &["ca.pem of --ca-cert cannot be used: "],
        );
    }
    refuses(
        &orders,
        tool(&authority.file("ca.pem", &authority.client().key)),
        &["it holds no certificate in PEM"],
    );
}

#[test]
fn verification_cannot_be_switched_off() {
    for flag in ["--insecure", "--no-verify", "--accept-invalid-certificate", "--skip-verify"] {
        let refused =
            crate::support::binary().args(&["run", "--partition", "202506", flag]).run().expect(2);
        assert!(refused.stderr.contains("unexpected argument"), "{refused}");
    }
    let orders = orders(100);
    let authority = Authority::new();
    let proxy = TlsProxy::start(orders.server.port(), &authority.server(HOST), None);
    let others = Authority::new();
    let mut tool = orders.tool_at(&proxy.url()).env("SSL_CERT_FILE", others.ca_file());
    for variable in [
        "CLICKHOUSE_SECURE",
        "SSL_VERIFY",
        "NODE_TLS_REJECT_UNAUTHORIZED",
        "PYTHONHTTPSVERIFY",
        "GIT_SSL_NO_VERIFY",
    ] {
        tool = tool.env(variable, "0");
    }
    refuses(&orders, tool, &["not signed by a trusted authority"]);
}
