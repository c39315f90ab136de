//! Which of several passwords counts, shown by logins.

use crate::support::{Binary, Server, ServerOptions, binary};

const PASSWORD: &str = "pa$$ #1";

fn users() -> String {
    format!(
        "<clickhouse><users><ann><password><![CDATA[{PASSWORD}]]></password><networks><ip>::/0</ip></networks><profile>default</profile>
        <quota>default</quota></ann></users></clickhouse>"
    )
}

/// The command with a password in each layer, from the lowest to the highest.
fn with_passwords(server: &Server, passwords: &[Option<&str>; 7]) -> Binary {
    let line = |key: &str, password: Option<&str>| {
        password.map(|password| format!("{key} = '{password}'\n")).unwrap_or_default()
    };
    let [of_database, common, command, dotenv, variable, connection, flag] = *passwords;
    let address = format!("host = '127.0.0.1'\nport = {}\nuser = 'ann'\n", server.port());
    let file = format!(
        "[database.clickhouse]\n{address}{}[connections.prod]\n{address}{}[common]\n{}[history]\n{}",
        line("password", of_database),
        line("password", connection),
        line("clickhouse-password", common),
        line("clickhouse-password", command)
    );
    let mut tool = binary().arg("history").file("clickhouse-backfill.toml", &file);
    if let Some(password) = dotenv {
        tool = tool.file(".env", &format!("CLICKHOUSE_PASSWORD='{password}'\n"));
    }
    if let Some(password) = variable {
        tool = tool.env("CLICKHOUSE_PASSWORD", password);
    }
    if connection.is_some() {
        tool = tool.args(&["--connection", "prod"]);
    }
    if let Some(password) = flag {
        tool = tool.args(&["--clickhouse-password", password]);
    }
    tool
}

#[test]
fn each_layer_wins_over_those_below_it() {
    let server =
        Server::isolated_with(ServerOptions { users_xml: Some(users()), ..Default::default() });
    for highest in 0..7 {
        let mut passwords = [None; 7];
        passwords[..highest].fill(Some("Tangerine"));
        passwords[highest] = Some(PASSWORD);
        let output = with_passwords(&server, &passwords).run().expect(0);
        assert!(!format!("{output}").contains("Tangerine"), "{output}");
    }
    let mut passwords = [Some(PASSWORD); 7];
    passwords[6] = Some("Tangerine");
    let output = with_passwords(&server, &passwords).run().expect(2);
    assert!(output.stderr.contains("error: the server rejects the login\n"), "{output}");
    assert!(!output.stderr.contains("Tangerine") && !output.stderr.contains("pa$$"), "{output}");
}
