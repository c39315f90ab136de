//! Encrypted connections: a whole run through a proxy that speaks TLS, and everything about
//! certificates that can be wrong.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use crate::orders::Orders;
use crate::support::shown::titled;
use crate::support::tls::{Authority, TlsProxy};
use crate::support::{Binary, Server, assert_text_snapshot};

const HOST: &[&str] = &["127.0.0.1"];

fn orders(rows: u64) -> Orders {
    Orders::on(Server::shared(), rows)
}

/// Runs, and expects an error of the configuration and that nothing was written. Returns the error.
#[track_caller]
fn refuses(orders: &Orders, tool: Binary) -> String {
    let output = tool.run().expect(2);
    assert!(!output.stderr.contains("PRIVATE KEY-"), "{output}");
    assert_eq!(orders.target_rows(), 0, "{output}");
    output.failure()
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

/// `SSL_CERT_FILE` names the certificates that the system trusts, as for other programs.
#[test]
fn the_systems_roots_are_trusted() {
    let orders = orders(100);
    let authority = Authority::new();
    let proxy = TlsProxy::start(orders.server.port(), &authority.server(HOST), None);
    orders.tool_at(&proxy.url()).env("SSL_CERT_FILE", authority.ca_file()).run().expect(0);
    orders.assert_complete();
    // The flag's certificates replace them.
    let tool = orders.tool_at(&proxy.url()).env("SSL_CERT_FILE", authority.ca_file());
    let others = Authority::new();
    assert_text_snapshot!(tool.arg("--ca-cert").arg(others.ca_file()).run().failure(), @"
    exit code 2
    error: the connection to [HTTPS URL] failed: its certificate is not signed by a trusted authority ([WORDS OF THE SYSTEM])
    hint: set --ca-cert or CA_CERT to a file with the certificate of the authority that signed the server's certificate
    ");
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

    let (their_cert, their_key) = (
        others.file("client.pem", &stranger.certificate),
        others.file("client.key", &stranger.key),
    );
    let pair = |cert: &Path, key: &Path| tool().env("CLIENT_CERT", cert).env("CLIENT_KEY", key);
    assert_text_snapshot!(titled([
        ("no certificate", refuses(&orders, tool())),
        ("one of another authority", refuses(&orders, pair(&their_cert, &their_key))),
        ("a certificate without a key", refuses(&orders, tool().arg("--client-cert").arg(&cert))),
        ("a key without a certificate", refuses(&orders, tool().arg("--client-key").arg(&key))),
        ("the key of another", refuses(&orders, pair(&cert, &their_key))),
        ("a key as the certificate", refuses(&orders, pair(&key, &key))),
        ("a certificate as the key", refuses(&orders, pair(&cert, &cert))),
    ]), @"
    # no certificate
    exit code 2
    error: the connection to [HTTPS URL] failed: it requires a client certificate, or rejects the one that was sent ([WORDS OF THE SYSTEM])
    hint: set --client-cert and --client-key to a certificate that the server trusts

    # one of another authority
    exit code 2
    error: the connection to [HTTPS URL] failed: it requires a client certificate, or rejects the one that was sent ([WORDS OF THE SYSTEM])
    hint: set --client-cert and --client-key to a certificate that the server trusts

    # a certificate without a key
    exit code 2
    error: --client-cert and --client-key belong together
    hint: give both, or neither

    # a key without a certificate
    exit code 2
    error: --client-cert and --client-key belong together
    hint: give both, or neither

    # the key of another
    exit code 2
    error: the file [PATH] of --client-cert cannot be used: TLS cannot be set up: keys may not be consistent: KeyMismatch
    hint: certificates and keys are in PEM form

    # a key as the certificate
    exit code 2
    error: the file [PATH] of --client-cert cannot be used: it holds no certificate in PEM (BEGIN CERTIFICATE)
    hint: certificates and keys are in PEM form

    # a certificate as the key
    exit code 2
    error: the file [PATH] of --client-cert cannot be used: the key file holds no private key in PEM (BEGIN PRIVATE KEY), or one that is encrypted
    hint: certificates and keys are in PEM form
    ");

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
    let elsewhere = proxy(authority.server(&["clickhouse.example", "127.0.0.2"]));
    let expired = proxy(authority.expired(HOST));
    let for_clients = proxy(authority.client());
    let source = orders.tool().env("CA_CERT", &ca).env("SOURCE_URL", unknown.url());
    assert_text_snapshot!(titled([
        ("an unknown authority", refuses(&orders, with_ca(&unknown))),
        ("another host", refuses(&orders, with_ca(&elsewhere))),
        ("expired", refuses(&orders, with_ca(&expired))),
        ("a client's certificate", refuses(&orders, with_ca(&for_clients))),
        ("the source's server", refuses(&orders, source)),
    ]), @"
    # an unknown authority
    exit code 2
    error: the connection to [HTTPS URL] failed: its certificate is not signed by a trusted authority ([WORDS OF THE SYSTEM])
    hint: set --ca-cert or CA_CERT to a file with the certificate of the authority that signed the server's certificate

    # another host
    exit code 2
    error: the connection to [HTTPS URL] failed: its certificate is not for the host in the URL ([WORDS OF THE SYSTEM])
    hint: set --clickhouse-url or CLICKHOUSE_URL to a host name that the server's certificate is for

    # expired
    exit code 2
    error: the connection to [HTTPS URL] failed: its certificate has expired or is not yet valid ([WORDS OF THE SYSTEM])
    hint: renew the server's certificate, or correct this machine's clock

    # a client's certificate
    exit code 2
    error: the connection to [HTTPS URL] failed: its certificate is invalid ([WORDS OF THE SYSTEM])
    hint: the server needs a server certificate, signed by an authority

    # the source's server
    exit code 2
    error: cannot use the source's server
      because: the connection to [HTTPS URL] failed: its certificate is not signed by a trusted authority ([WORDS OF THE SYSTEM])
    hint: set --ca-cert or CA_CERT to a file with the certificate of the authority that signed the server's certificate
    ");
}

#[test]
fn encrypted_and_plain_do_not_meet() {
    let orders = orders(100);
    let authority = Authority::new();
    let proxy = TlsProxy::start(orders.server.port(), &authority.server(HOST), None);
    let plain_to_tls = orders.tool_at(&proxy.url().replace("https:", "http:"));
    assert_text_snapshot!(refuses(&orders, plain_to_tls), @"
    exit code 2
    error: the connection to [URL] failed: its response is not plain HTTP ([WORDS OF THE SYSTEM])
    hint: set --clickhouse-url or CLICKHOUSE_URL to an https URL if this is the server's https_port, else to its http_port, 8123 by default
    ");
    let tls_to_plain = orders
        .tool_at(&orders.server.url().replace("http:", "https:"))
        .env("CA_CERT", authority.ca_file());
    let said = refuses(&orders, tls_to_plain);
    assert!(!said.contains("http://"), "no hint to do without encryption\n{said}");
    assert_text_snapshot!(said, @"
    exit code 2
    error: the connection to [HTTPS URL] failed: its response is not TLS ([WORDS OF THE SYSTEM])
    hint: set --clickhouse-url or CLICKHOUSE_URL to the server's https_port, 8443 by default; its http_port, 8123, is not encrypted
    ");
    // A certificate asks for encryption.
    let plain = orders.tool().env("CA_CERT", authority.ca_file());
    assert_text_snapshot!(refuses(&orders, plain), @"
    exit code 2
    error: a certificate is given (CA_CERT, CLIENT_CERT), but the URL is http: nothing would be encrypted
    hint: use an https URL; ClickHouse's https_port is 8443 by default
    ");
}

#[test]
fn files_that_are_no_certificates() {
    let orders = orders(100);
    let authority = Authority::new();
    let tool = |file: &Path| orders.tool_at("https://127.0.0.1:1").env("CA_CERT", file);
    let missing = authority.ca_file().with_file_name("missing.pem");
    let failure = refuses(&orders, tool(&missing));
    assert!(failure.contains("missing.pem of --ca-cert"), "{failure}");
    assert_text_snapshot!(failure, @"
    exit code 2
    error: the file [PATH] of --ca-cert cannot be read: No such file or directory (os error 2)
    hint: set --ca-cert to a file that this user can read
    ");
    let key = authority.client().key;
    let texts = ["", "nonsense", "-----BEGIN CERTIFICATE-----\nnonsense\n", &key];
    let failures = texts.map(|text| {
        let title = if text == key { "a key" } else { text };
        (title, refuses(&orders, tool(&authority.file("ca.pem", text))))
    });
    assert_text_snapshot!(titled(failures), @"
    # 
    exit code 2
    error: the file [PATH] of --ca-cert cannot be used: it holds no certificate in PEM (BEGIN CERTIFICATE)
    hint: certificates and keys are in PEM form

    # nonsense
    exit code 2
    error: the file [PATH] of --ca-cert cannot be used: it holds no certificate in PEM (BEGIN CERTIFICATE)
    hint: certificates and keys are in PEM form

    # -----BEGIN CERTIFICATE-----
    nonsense

    exit code 2
    error: the file [PATH] of --ca-cert cannot be used: a certificate in it is incomplete or not in PEM
    hint: certificates and keys are in PEM form

    # a key
    exit code 2
    error: the file [PATH] of --ca-cert cannot be used: it holds no certificate in PEM (BEGIN CERTIFICATE)
    hint: certificates and keys are in PEM form
    ");
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
    assert_text_snapshot!(refuses(&orders, tool), @"
    exit code 2
    error: the connection to [HTTPS URL] failed: its certificate is not signed by a trusted authority ([WORDS OF THE SYSTEM])
    hint: set --ca-cert or CA_CERT to a file with the certificate of the authority that signed the server's certificate
    ");
}
