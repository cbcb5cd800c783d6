//! The configuration: three spellings of one name, and one sentence for whatever is wrong.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use natter::config::{
    BusUrl, ByteSize, Config, DEFAULT_FILE, Limit, LogFormat, MediaUrl, Secret, Signup, Sources,
    StoreUrl,
};
use natter::domain::Retention;

/// Good enough for a signing secret, and nobody's.
const STRONG: &str = "vT3kQz9LmW2xR8pYb6NcJ4hS7dF0gAeU";

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn from_environment(variables: &[(&str, &str)]) -> Result<Config, String> {
    let sources = Sources { environment: environment(variables), ..Sources::default() };
    Config::load(&sources).map_err(|error| error.to_string())
}

fn from_file(content: &str) -> Result<Config, String> {
    let files = Files::new();
    let sources = Sources { file: Some(files.write("natter.toml", content)), ..Sources::default() };
    Config::load(&sources).map_err(|error| error.to_string())
}

/// The shipped file with its settings switched on: a `#` that touches a name or a `[` is taken away.
fn uncommented() -> String {
    let lines = DEFAULT_FILE.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn nothing_set_is_the_default() {
    assert_eq!(from_environment(&[]).unwrap(), Config::default());
    assert_eq!(from_file(DEFAULT_FILE).unwrap(), Config::default());
}

#[test]
fn the_shipped_file_says_the_defaults() {
    let table: toml::Table = uncommented().parse().unwrap();
    assert!(table.contains_key("limits"), "the file was uncommented");
    assert_eq!(from_file(&uncommented()).unwrap(), Config::default());
}

#[test]
fn the_shipped_file_names_every_setting() {
    let mut named = BTreeSet::new();
    let table: toml::Table = uncommented().parse().unwrap();
    for (key, value) in &table {
        match value {
            toml::Value::Table(inner) => {
                named.extend(inner.keys().map(|name| format!("{key}.{name}")))
            }
            _ => _ = named.insert(key.clone()),
        }
    }
    let known: BTreeSet<String> = Config::settings_of_files().map(str::to_owned).collect();
    assert_eq!(named, known);
}

#[test]
fn the_names_that_scripts_rely_on_are_these() {
    let config = from_environment(&[
        ("NATTER_LISTEN", "0.0.0.0:80"),
        ("NATTER_INTERNAL_LISTEN", "10.0.0.7:9465"),
        ("NATTER_ADVERTISE_URL", "http://node-7:9465"),
        ("NATTER_METRICS_LISTEN", "0.0.0.0:90"),
        ("NATTER_DATA_DIR", "/srv/natter"),
        ("NATTER_STORE_URL", "sqlite:/srv/chat.db"),
        ("NATTER_BUS_URL", "local:"),
        ("NATTER_MEDIA_URL", "file:/srv/files"),
        ("SECRET_KEY", STRONG),
        ("NATTER_AUTH_BCRYPT_COST", "4"),
        ("NATTER_CORS_ORIGINS", "https://a.example, http://localhost:5173"),
        ("NATTER_PUBLIC_URL", "https://chat.example"),
        ("NATTER_TRUSTED_PROXIES", "10.0.0.0/8,192.0.2.7"),
        ("NATTER_SIGNUP", "closed"),
        ("NATTER_INSECURE", "true"),
        ("NATTER_INLINE_FILE_LIMIT", "1MiB"),
        ("NATTER_UPLOAD_LIMIT", "2GiB"),
        ("NATTER_RETENTION", "90d"),
        ("NATTER_DRAIN_GRACE", "1m"),
        ("NATTER_LIMITS_MESSAGES_PER_SECOND", "0"),
        ("NATTER_LOG_FORMAT", "json"),
        ("NATTER_SOCKET_PING_INTERVAL", "300ms"),
    ])
    .unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:80");
    assert_eq!(config.internal_listen.unwrap().to_string(), "10.0.0.7:9465");
    assert_eq!(config.advertise_url.as_ref().unwrap().as_str(), "http://node-7:9465");
    assert_eq!(config.metrics.listen.unwrap().to_string(), "0.0.0.0:90");
    assert_eq!(config.data_dir, PathBuf::from("/srv/natter"));
    assert_eq!(config.store.sqlite_path(&config.data_dir).unwrap(), PathBuf::from("/srv/chat.db"));
    assert_eq!(config.bus, BusUrl::Local);
    assert_eq!(config.media.url.folder(&config.data_dir).unwrap(), PathBuf::from("/srv/files"));
    assert_eq!(config.secret_key().unwrap(), Secret::new(STRONG));
    assert_eq!(config.auth.bcrypt_cost, 4);
    let origins: Vec<_> = config.cors_origins.iter().map(|origin| origin.as_str()).collect();
    assert_eq!(origins, ["https://a.example", "http://localhost:5173"]);
    assert_eq!(config.public_url.unwrap().as_str(), "https://chat.example");
    let proxies: Vec<_> = config.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "192.0.2.7/32"]);
    assert_eq!(config.signup, Signup::Closed);
    assert!(config.insecure);
    assert_eq!(config.inline_file_limit, ByteSize::mib(1));
    assert_eq!(config.upload_limit, ByteSize::mib(2048));
    assert_eq!(config.retention, Retention::Days(90));
    assert_eq!(config.drain_grace, Duration::from_secs(60));
    assert_eq!(config.limits.messages_per_second, Limit::OFF);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.socket.ping_interval, Duration::from_millis(300));
}

#[test]
fn a_bucket_has_settings_of_its_own() {
    let config = from_environment(&[
        ("NATTER_MEDIA_URL", "s3://files/chat/"),
        ("NATTER_MEDIA_ENDPOINT", "http://minio:9000/"),
        ("NATTER_MEDIA_PUBLIC_ENDPOINT", "https://files.example"),
        ("NATTER_MEDIA_REGION", "eu-central-1"),
        ("NATTER_MEDIA_ADDRESSING", "host"),
        ("NATTER_MEDIA_SERVE", "redirect"),
    ]);
    let media = config.unwrap().media;
    let MediaUrl::S3(bucket) = &media.url else { panic!("{media:?}") };
    assert_eq!((bucket.name(), bucket.prefix()), ("files", "chat"));
    assert_eq!(media.origin("any"), "http://files.minio:9000");
    assert_eq!(media.region.as_deref(), Some("eu-central-1"));
    assert_eq!(media.redirects_to().as_deref(), Some("https://files.files.example"));
    let empty =
        ["ENDPOINT", "PUBLIC_ENDPOINT", "REGION"].map(|name| format!("NATTER_MEDIA_{name}"));
    let empty: Vec<_> = empty.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(from_environment(&empty).unwrap(), Config::default());
}

#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let files = Files::new();
    let file = files.write(
        "natter.toml",
        "listen = '127.0.0.1:1'\ndata_dir = '/file'\nsignup = 'closed'\ncors_origins = ['https://a.example']",
    );
    let config = Config::load(&Sources {
        file: None,
        environment: environment(&[
            ("NATTER_CONFIG", file.to_str().unwrap()),
            ("NATTER_LISTEN", "127.0.0.1:2"),
            ("NATTER_DATA_DIR", "/environment"),
        ]),
        flags: vec![("listen", "127.0.0.1:3".to_owned())],
    })
    .unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.data_dir, PathBuf::from("/environment"));
    assert_eq!(config.signup, Signup::Closed);
    assert_eq!(config.cors_origins.len(), 1);
}

#[test]
fn a_wrong_variable_is_named_in_one_sentence() {
    for (name, value, setting) in [
        ("NATTER_LISTEN", "8080", "listen"),
        ("NATTER_LISTEN", "chat.example:8080", "listen"),
        ("NATTER_METRICS_LISTEN", "127.0.0.1:8080", "metrics.listen"),
        ("NATTER_INTERNAL_LISTEN", "9465", "internal_listen"),
        ("NATTER_INTERNAL_LISTEN", "127.0.0.1:8080", "internal_listen"),
        ("NATTER_INTERNAL_LISTEN", "127.0.0.1:9464", "internal_listen"),
        ("NATTER_INTERNAL_LISTEN", "0.0.0.0:9465", "advertise_url"),
        ("NATTER_ADVERTISE_URL", "http://10.0.0.7:9465", "advertise_url"),
        ("NATTER_ADVERTISE_URL", "https://10.0.0.7:9465", "advertise_url"),
        ("NATTER_ADVERTISE_URL", "http://10.0.0.7:9465/natter", "advertise_url"),
        ("NATTER_ADVERTISE_URL", "10.0.0.7:9465", "advertise_url"),
        ("NATTER_DATA_DIR", "", "data_dir"),
        ("NATTER_STORE_URL", "postgres://db", "store.url"),
        ("NATTER_STORE_URL", "mongodb:db", "store.url"),
        ("MONGO_USER_FILE", "/nowhere/user", "store.user_file"),
        ("MONGO_PASSWORD_FILE", "/nowhere/password", "store.password_file"),
        ("NATTER_BUS_URL", "nats://bus", "bus.url"),
        ("NATTER_BUS_URL", "tls://bus", "bus.url"),
        ("NATTER_BUS_URL", "redis://bus", "bus.url"),
        ("NATTER_MEDIA_URL", "s3://", "media.url"),
        ("NATTER_MEDIA_URL", "s3://key:secret@bucket", "media.url"),
        ("NATTER_MEDIA_URL", "s3://bucket/../other", "media.url"),
        ("NATTER_MEDIA_ENDPOINT", "minio:9000", "media.endpoint"),
        ("NATTER_MEDIA_ENDPOINT", "http://minio:9000", "media.endpoint"),
        ("NATTER_MEDIA_PUBLIC_ENDPOINT", "ftp://files.example", "media.public_endpoint"),
        ("NATTER_MEDIA_REGION", "eu central", "media.region"),
        ("NATTER_MEDIA_ADDRESSING", "virtual", "media.addressing"),
        ("NATTER_MEDIA_SERVE", "redirect", "media.serve"),
        ("NATTER_MEDIA_SERVE", "proxy", "media.serve"),
        ("NATTER_MEDIA_URL", "/srv/files", "media.url"),
        ("SECRET_KEY", "", "secret_key"),
        ("SECRET_KEY", "too-short-to-sign-with", "secret_key"),
        ("SECRET_KEY", "changemechangemechangemechangeme", "secret_key"),
        ("SECRET_KEY_FILE", "/nowhere/secret", "secret_key_file"),
        ("SECRET_KEY_PREVIOUS", "too-short-to-sign-with", "secret_key_previous"),
        ("SECRET_KEY_PREVIOUS", "changemechangemechangemechangeme", "secret_key_previous"),
        ("SECRET_KEY_PREVIOUS_FILE", "/nowhere/secret", "secret_key_previous_file"),
        ("NATTER_AUTH_BCRYPT_COST", "3", "auth.bcrypt_cost"),
        ("NATTER_AUTH_BCRYPT_COST", "17", "auth.bcrypt_cost"),
        ("NATTER_AUTH_BCRYPT_COST", "12.0", "auth.bcrypt_cost"),
        ("NATTER_AUTH_TOKEN_LIFETIME", "30", "auth.token_lifetime"),
        ("NATTER_AUTH_TOKEN_LIFETIME", "0s", "auth.token_lifetime"),
        ("NATTER_AUTH_ISSUER", "", "auth.issuer"),
        ("NATTER_AUTH_PASSWORD_MIN_BYTES", "73", "auth.password_min_bytes"),
        ("NATTER_AUTH_ADMIN_EMAIL", "ann@example.com", "auth.admin_username"),
        ("NATTER_AUTH_ADMIN_PASSWORD_FILE", "/nowhere/password", "auth.admin_password_file"),
        ("NATTER_CORS_ORIGINS", "*", "cors_origins"),
        ("NATTER_CORS_ORIGINS", "https://a.example,null", "cors_origins"),
        ("NATTER_PUBLIC_URL", "chat.example", "public_url"),
        ("NATTER_PUBLIC_URL", "ftp://chat.example", "public_url"),
        ("NATTER_TRUSTED_PROXIES", "10.0.0.0/33", "trusted_proxies"),
        ("NATTER_SIGNUP", "maybe", "signup"),
        ("NATTER_INLINE_FILE_LIMIT", "5", "inline_file_limit"),
        ("NATTER_INLINE_FILE_LIMIT", "65MiB", "inline_file_limit"),
        ("NATTER_UPLOAD_LIMIT", "4MiB", "inline_file_limit"),
        ("NATTER_RETENTION", "36h", "retention"),
        ("NATTER_RETENTION", "90", "retention"),
        ("NATTER_RETENTION", "36501d", "retention"),
        ("NATTER_DRAIN_GRACE", "half an hour", "drain_grace"),
        ("NATTER_LIMITS_SOCKETS_PER_USER", "-1", "limits.sockets_per_user"),
        ("NATTER_LIMITS_MESSAGE_BURST", "4294967296", "limits.message_burst"),
        ("NATTER_SOCKET_PING_TIMEOUT", "1h", "socket.ping_timeout"),
        ("NATTER_PRESENCE_LEAVE_GRACE", "ten", "presence.leave_grace"),
        ("NATTER_INSECURE", "yes", "insecure"),
        ("NATTER_LOG_FORMAT", "xml", "log.format"),
        ("NATTER_LOG_FILTER", "natter=loud", "log.filter"),
        ("NATTER_CONFIG", "/nowhere/natter.toml", "config"),
        ("NATTER_LISTN", "127.0.0.1:8080", "NATTER_LISTN"),
    ] {
        let sentence = from_environment(&[(name, value)]).unwrap_err();
        assert!(sentence.starts_with(setting), "{name}={value} gave: {sentence}");
        let is_combination = name == "NATTER_AUTH_ADMIN_EMAIL"
            || name == "NATTER_UPLOAD_LIMIT"
            || value == "0.0.0.0:9465";
        assert!(sentence.contains(name) || is_combination, "{name}={value} gave: {sentence}");
        assert!(!sentence.contains('\n') && !sentence.ends_with('.'), "{sentence}");
    }
}

#[test]
fn a_wrong_line_of_a_file_is_named_with_the_file() {
    for (content, setting) in [
        ("listn = '127.0.0.1:8080'", "listn"),
        ("[stor]\nurl = 'sqlite:'", "stor"),
        ("[store]\npath = 'x'", "store.path"),
        ("[auth]\nbcrypt_cost = 20", "auth.bcrypt_cost"),
        ("[auth]\nbcrypt_cost = 12.5", "auth.bcrypt_cost"),
        ("[auth]\nbcrypt_cost = true", "auth.bcrypt_cost"),
        ("cors_origins = ['*']", "cors_origins"),
        ("cors_origins = [1]", "cors_origins"),
        ("cors_origins = 'https://a.example'", "cors_origins"),
        ("[auth]\nissuer = 5", "auth.issuer"),
        ("insecure = 'true'", "insecure"),
        ("[bus]\npassword = 'hunter2'", "bus.password"),
        ("[bus]\ntoken = 'hunter2'", "bus.token"),
        ("[limits]\nmessages_per_second = -1", "limits.messages_per_second"),
        ("drain_grace = 30", "drain_grace"),
        ("secret_key = 'vT3kQz9LmW2xR8pYb6NcJ4hS7dF0gAeU'", "secret_key"),
        ("[auth]\nadmin_password = 'hunter2'", "auth.admin_password"),
        ("store = 'sqlite:'", "store"),
        ("listen = ", "config"),
        ("signup = 'open'\nsignup = 'open'", "config"),
    ] {
        let sentence = from_file(content).unwrap_err();
        assert!(sentence.starts_with(&format!("{setting} (in ")), "{content:?} gave: {sentence}");
        assert!(sentence.contains("natter.toml"), "{content:?} gave: {sentence}");
        assert!(!sentence.contains('\n'), "{sentence}");
        assert!(!sentence.contains("hunter2") && !sentence.contains(STRONG), "{sentence}");
    }
}

#[test]
fn a_wrong_flag_is_named_as_a_flag() {
    let flags = vec![("store", "postgres://u:hunter2@db".to_owned())];
    let error = Config::load(&Sources { flags, ..Sources::default() }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "store.url (in the flag --store): postgres: is no scheme that it can have, \
         use sqlite: or mongodb://"
    );
}

#[test]
fn the_secret_comes_from_the_file_before_the_variable() {
    let files = Files::new();
    let file = files.write("secret", "Qm8Zt4RvXc2LpN7wKd5HsB9yGf3JaE6u\n");
    let config =
        from_environment(&[("SECRET_KEY_FILE", file.to_str().unwrap()), ("SECRET_KEY", STRONG)])
            .unwrap();
    assert_eq!(config.secret_key().unwrap(), Secret::new("Qm8Zt4RvXc2LpN7wKd5HsB9yGf3JaE6u"));

    let weak = files.write("weak", "password\n");
    let sentence = from_environment(&[("SECRET_KEY_FILE", weak.to_str().unwrap())]).unwrap_err();
    assert!(
        sentence.starts_with("secret_key_file (in the variable SECRET_KEY_FILE)"),
        "{sentence}"
    );
    assert!(sentence.ends_with("has 8 bytes and needs 32"), "{sentence}");
}

#[test]
fn the_login_to_mongodb_comes_from_files_before_variables_before_the_url() {
    let files = Files::new();
    let (user, password) = (files.write("user", "ann\n"), files.write("password", "p@ss\n"));
    let cluster = [
        ("NATTER_STORE_URL", "mongodb://old:hunter2@db/natter?replicaSet=rs"),
        ("NATTER_BUS_URL", "nats://u:p@bus"),
        ("NATTER_MEDIA_URL", "s3://files"),
        ("SECRET_KEY", STRONG),
    ];
    let uri = |more: &[(&str, &str)]| {
        let config = from_environment(&[cluster.as_slice(), more].concat()).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
        match config.store {
            StoreUrl::Mongodb { uri } => uri.expose().to_owned(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(uri(&[]), "mongodb://old:hunter2@db/natter?replicaSet=rs");
    let variables = [("MONGO_USER", "bob"), ("MONGO_PASSWORD", "b")];
    assert_eq!(uri(&variables), "mongodb://bob:b@db/natter?replicaSet=rs");
    let named = [
        ("MONGO_USER_FILE", user.to_str().unwrap()),
        ("MONGO_PASSWORD_FILE", password.to_str().unwrap()),
    ];
    let both = [variables, named].concat();
    assert_eq!(uri(&both), "mongodb://ann:p%40ss@db/natter?replicaSet=rs");
    // As compose files pass what nobody gave them, and what belongs to somebody else.
    let others = [("MONGO_USER", ""), ("MONGO_PASSWORD_FILE", ""), ("MONGO_INITDB_DATABASE", "x")];
    assert_eq!(uri(&others), "mongodb://old:hunter2@db/natter?replicaSet=rs");
    assert_eq!(
        from_environment(&[("MONGO_PASSWORD", "unused")]).unwrap().store,
        Config::default().store
    );
}

#[test]
fn the_previous_secret_is_as_strong_as_the_other_and_another() {
    let files = Files::new();
    let other = "Qm8Zt4RvXc2LpN7wKd5HsB9yGf3JaE6u";
    let file = files.write("previous", &format!("{other}\n"));
    let path = file.to_str().unwrap();
    let previous = |variables: &[(&str, &str)]| {
        from_environment(variables).map(|config| config.auth.secret_key_previous)
    };
    assert_eq!(previous(&[("SECRET_KEY", STRONG), ("SECRET_KEY_PREVIOUS", "")]), Ok(None));
    let given = previous(&[("SECRET_KEY", STRONG), ("SECRET_KEY_PREVIOUS", other)]);
    assert_eq!(given, Ok(Some(Secret::new(other))));
    let both = [("SECRET_KEY_PREVIOUS", STRONG), ("SECRET_KEY_PREVIOUS_FILE", path)];
    assert_eq!(previous(&both), Ok(Some(Secret::new(other))), "the file wins");

    let weak = files.write("weak", "password\n");
    let weak = [("SECRET_KEY_PREVIOUS_FILE", weak.to_str().unwrap())];
    let sentence = previous(&weak).unwrap_err();
    assert!(sentence.starts_with("secret_key_previous_file (in the"), "{sentence}");
    assert!(sentence.ends_with("has 8 bytes and needs 32"), "{sentence}");
    let same = previous(&[("SECRET_KEY", STRONG), ("SECRET_KEY_PREVIOUS", STRONG)]);
    let sentence = same.unwrap_err();
    assert!(sentence.contains("SECRET_KEY_PREVIOUS") && sentence.contains("same"), "{sentence}");
    assert!(!sentence.contains(STRONG));
    let in_a_file = from_file(&format!("secret_key_previous = '{STRONG}'")).unwrap_err();
    assert!(in_a_file.starts_with("secret_key_previous (in "), "{in_a_file}");
}

#[test]
fn without_a_secret_an_embedded_node_makes_one_and_keeps_it() {
    let files = Files::new();
    let config = Config { data_dir: files.0.path().join("data"), ..Config::default() };
    let made = config.secret_key().unwrap();
    assert_eq!(made, config.secret_key().unwrap());

    fs::write(config.data_dir.join("secret.key"), "secret").unwrap();
    let sentence = config.secret_key().unwrap_err().to_string();
    assert!(sentence.starts_with("data_dir: the secret in"), "{sentence}");
}

#[test]
fn the_first_administrator_is_set_whole_and_the_password_is_never_shown() {
    let files = Files::new();
    let file = files.write("password", "hunter2-and-more\n");
    let config = from_environment(&[
        ("NATTER_AUTH_ADMIN_EMAIL", "ann@example.com"),
        ("NATTER_AUTH_ADMIN_USERNAME", "ann"),
        ("NATTER_AUTH_ADMIN_PASSWORD_FILE", file.to_str().unwrap()),
    ])
    .unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let admin = config.auth.first_admin.unwrap();
    assert_eq!((admin.email.as_str(), admin.username.as_str()), ("ann@example.com", "ann"));
    assert_eq!(admin.password, Secret::new("hunter2-and-more"));
}

#[test]
fn an_impossible_mix_refused() {
    let default = Config::default;
    let nats = || BusUrl::Nats { url: Secret::new("nats://bus") };
    let mongodb = || StoreUrl::Mongodb { uri: Secret::new("mongodb://db") };
    for config in [
        Config { bus: nats(), ..default() },
        Config { store: mongodb(), ..default() },
        Config { store: mongodb(), bus: nats(), ..default() },
        Config { inline_file_limit: ByteSize::mib(2), upload_limit: ByteSize::mib(1), ..default() },
    ] {
        assert!(config.validate().is_err(), "{config:?}");
    }
    assert_eq!(default().validate(), Ok(()));
}

#[test]
fn a_node_of_a_cluster_needs_an_address_for_the_others_and_a_command_does_not() {
    let cluster = [
        ("NATTER_STORE_URL", "mongodb://u:p@db/natter?replicaSet=rs"),
        ("NATTER_BUS_URL", "nats://u:p@bus"),
        ("NATTER_MEDIA_URL", "s3://files"),
        ("SECRET_KEY", STRONG),
    ];
    let command = from_environment(&cluster).unwrap();
    let sentence = command.check_serving().unwrap_err().to_string();
    assert!(sentence.starts_with("internal_listen (not set): "), "{sentence}");
    let reachable = [&cluster[..], &[("NATTER_INTERNAL_LISTEN", "127.0.0.1:0")]].concat();
    assert_eq!(from_environment(&reachable).unwrap().check_serving(), Ok(()));
    assert_eq!(Config::default().check_serving(), Ok(()));
}

#[test]
fn variables_that_the_platform_sets_are_not_taken_for_ours() {
    let config = from_environment(&[
        ("NATTER_SERVICE_HOST", "10.0.0.1"),
        ("NATTER_SERVICE_PORT", "80"),
        ("NATTER_SERVICE_PORT_HTTP", "80"),
        ("NATTER_PORT", "tcp://10.0.0.1:80"),
        ("NATTER_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("NATTER_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("NATTER_METRICS_SERVICE_HOST", "10.0.0.2"),
        ("NATTER_TEST_STRICT", "1"),
        ("SECRET_KEY_BASE", "of another program"),
        ("PATH", "/bin"),
    ]);
    assert_eq!(config.unwrap(), Config::default());
    assert!(from_environment(&[("NATTER_PORT", "8080")]).is_err());
}
