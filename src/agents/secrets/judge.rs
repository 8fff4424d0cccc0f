//! What only looks like a credential: examples, placeholders, names, words, hashes.

/// Parts of examples and placeholders, in lower case. In a random value of 40 letters each of them
/// turns up less than once in ten thousand.
const PLACEHOLDERS: &[&str] = &[
    "example",
    "placeholder",
    "your",
    "xxxx",
    "****",
    "....",
    "redacted",
    "dummy",
    "sample",
    "changeme",
    "change-me",
    "change_me",
    "invented",
    "not-a-real",
    "notareal",
    "not_a_real",
    "fake",
    "insert",
    "replace",
    "00000",
    "11111",
    "12345",
    "abcdef",
    "qwert",
    "deadbeef",
    "lorem",
    "testtest",
    "my-secret",
    "my_secret",
    "mysecret",
    "process.env",
    "undefined",
];

/// Passwords that stand in examples and in throw-away containers, in lower case.
const COMMON_PASSWORDS: &[&str] = &[
    "pass",
    "password",
    "passwd",
    "pwd",
    "secret",
    "postgres",
    "root",
    "admin",
    "test",
    "user",
    "guest",
    "mysql",
    "redis",
    "mongo",
    "token",
    "key",
    "foo",
    "bar",
    "baz",
    "abc",
    "123",
    "1234",
    "hunter2",
    "letmein",
    "dev",
    "local",
    "docker",
    "default",
    "rabbitmq",
    "minio",
    "minioadmin",
    "mypassword",
    "secretpassword",
    "supersecret",
    "pw",
    "p4ssw0rd",
    "pass123",
    "password123",
];

/// Words beside which a value is something else than a credential.
const OTHER_WORDS: &[&str] = &[
    "public",
    "pub",
    "csrf",
    "xsrf",
    "page",
    "cursor",
    "next",
    "continuation",
    "pagination",
    "count",
    "max",
    "min",
    "limit",
    "usage",
    "tokens",
    "tokenizer",
    "hash",
    "checksum",
    "digest",
    "sha",
    "sha1",
    "sha256",
    "sha512",
    "md5",
    "etag",
    "id",
    "ids",
    "name",
    "names",
    "path",
    "file",
    "dir",
    "url",
    "uri",
    "type",
    "header",
    "field",
    "param",
    "prefix",
    "suffix",
    "regex",
    "pattern",
    "label",
    "title",
    "kind",
    "version",
    "length",
    "len",
    "size",
    "index",
    "offset",
    "position",
    "integrity",
    "resolved",
    "fingerprint",
    "placeholder",
    "example",
    "helper",
    "command",
    "cmd",
    "line",
    "sync",
    "secrets",
    "env",
];

/// Words that make a name a credential's; two stand side by side.
const CREDENTIAL_WORDS: &[&[&str]] = &[
    &["token"],
    &["secret"],
    &["password"],
    &["passwd"],
    &["passphrase"],
    &["credential"],
    &["credentials"],
    &["authorization"],
    &["cookie"],
    &["apikey"],
    &["oauth"],
    &["bearer"],
    &["api", "key"],
    &["access", "key"],
    &["auth", "key"],
    &["private", "key"],
    &["signing", "key"],
    &["encryption", "key"],
    &["account", "key"],
    &["secret", "key"],
    &["primary", "api"],
    &["pat"],
    &["jwt"],
];

/// Returns the words of a name, in lower case: `apiKey`, `API_KEY` and `api-key` are `api`, `key`.
fn words(name: &[u8]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut previous = b'_';
    for &byte in name {
        if !byte.is_ascii_alphanumeric() {
            previous = b'_';
            continue;
        }
        let begins = !previous.is_ascii_alphanumeric()
            || (byte.is_ascii_uppercase() && previous.is_ascii_lowercase());
        match words.last_mut() {
            Some(word) if !begins => word.push(char::from(byte.to_ascii_lowercase())),
            _ => words.push(char::from(byte.to_ascii_lowercase()).to_string()),
        }
        previous = byte;
    }
    words
}

/// Returns whether a name (a key in a settings file, a variable) is one for a credential.
pub fn is_credential_name(name: &str) -> bool {
    let words = words(name.as_bytes());
    if words.iter().any(|word| OTHER_WORDS.contains(&word.as_str())) {
        return false;
    }
    CREDENTIAL_WORDS.iter().any(|sought| {
        words.windows(sought.len()).any(|found| found.iter().zip(*sought).all(|(a, b)| a == b))
    })
}

/// Returns whether the name beside a value says that it is something else.
pub(super) fn is_other_name(name: &[u8]) -> bool {
    words(name).iter().any(|word| OTHER_WORDS.contains(&word.as_str()))
}

/// Returns whether a value of a telling form is no example.
pub(super) fn is_live(value: &[u8]) -> bool {
    !is_placeholder(value) && entropy(value) >= 2.8
}

/// Returns whether a value without a telling form looks drawn by lot.
pub(super) fn is_random(value: &[u8]) -> bool {
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let is_hex = value.iter().all(u8::is_ascii_hexdigit);
    let least = if is_hex { 3.0 } else { 3.4 };
    // Of 40 letters and digits drawn by lot one in 700 has no digit; of 20, one in 40.
    digits >= if value.len() < 32 { 2 } else { 1 }
        && letters >= 2
        && !is_placeholder(value)
        && !is_uuid(value)
        && !is_path_or_code(value)
        && !is_words(value)
        && entropy(value) >= least
        && changes(value) * 4 >= value.len()
}

/// Returns whether a user and a password in a URL are somebody's.
pub(super) fn is_password(user: &[u8], password: &[u8], host: &[u8]) -> bool {
    let lower = password.to_ascii_lowercase();
    let is_common = COMMON_PASSWORDS.iter().any(|word| word.as_bytes() == lower);
    let is_variable = password.iter().any(|byte| matches!(byte, b'$' | b'*'))
        || lower.starts_with(b"%s")
        || lower.starts_with(b"%7b");
    let host = host.to_ascii_lowercase();
    let is_nowhere = ["example", "localhost", "127.0.0.1", "0.0.0.0", "host", "[::1]"]
        .iter()
        .any(|word| host.starts_with(word.as_bytes()))
        || memchr::memmem::find(&host, b"example.").is_some();
    !is_common
        && !is_variable
        && !is_nowhere
        && !user.eq_ignore_ascii_case(password)
        && !is_placeholder(password)
        && password.iter().any(|byte| !byte.is_ascii_digit())
        && entropy(password) >= 1.5
}

fn is_placeholder(value: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    PLACEHOLDERS.iter().any(|word| memchr::memmem::find(&lower, word.as_bytes()).is_some())
        || longest_run(value) >= 7
}

fn longest_run(value: &[u8]) -> usize {
    let runs = value.chunk_by(|one, other| one == other).map(<[u8]>::len);
    runs.max().unwrap_or(0)
}

fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Paths, URLs, and chains of names such as `config.auth.token2`.
fn is_path_or_code(value: &[u8]) -> bool {
    let begins = [&b"/"[..], b"./", b"../", b"~/", b"@"];
    if begins.iter().any(|it| value.starts_with(it)) || value.windows(3).any(|it| it == b"://") {
        return true;
    }
    let separates = |byte: &u8| matches!(byte, b'.' | b'/' | b':');
    let is_word = |part: &[u8]| part.len() <= 3 || changes(part).saturating_mul(3) < part.len();
    value.iter().any(separates) && value.split(separates).all(is_word)
}

/// Words and short numbers with `-`, `_` or `.` between them: a slug, a date, a model's name.
fn is_words(value: &[u8]) -> bool {
    let parts = value.split(|byte| !byte.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let mut count = 0_usize;
    let all = parts.into_iter().all(|part| {
        count = count.saturating_add(1);
        let digits = part.iter().filter(|byte| byte.is_ascii_digit()).count();
        let is_word =
            digits == 0 && changes(part).saturating_mul(4) <= part.len().saturating_add(3);
        let is_number = digits == part.len() && digits <= 8;
        let is_short = part.len() <= 3;
        is_word || is_number || is_short
    });
    all && count >= 1
}

/// Bits for each byte, were they drawn by how often each occurs.
fn entropy(value: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count = count.saturating_add(1);
        }
    }
    let whole = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX));
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / whole);
    shares.map(|share| -share * share.log2()).sum()
}

/// How often a letter is followed by one of another sort (lower, upper, digit, other): often in what
/// is drawn by lot, seldom in words.
fn changes(value: &[u8]) -> usize {
    let sort = |byte: u8| match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    value
        .windows(2)
        .filter(|pair| matches!(pair, [one, other] if sort(*one) != sort(*other)))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_credentials_are_told_from_their_neighbours() {
        for name in [
            "api_key",
            "API_KEY",
            "apiKey",
            "DB_TOKEN",
            "accessToken",
            "oauthAccount",
            "client_secret",
            "Authorization",
            "primaryApiKey",
            "GITHUB_PAT",
            "X-Api-Key",
        ] {
            assert!(is_credential_name(name), "{name}");
        }
        for name in [
            "max_tokens",
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
            "token_count",
            "next_page_token",
            "public_key",
            "csrf_token",
            "apiKeyHelper",
            "theme",
            "tokenizer",
            "keybindings",
            "api_key_id",
            "path",
            "compat",
        ] {
            assert!(!is_credential_name(name), "{name}");
        }
    }

    #[test]
    fn words_examples_and_hash_like_ids_are_not_random() {
        for value in [
            "550e8400-e29b-41d4-a716-446655440000",
            "my-session-token-for-2024-11-02",
            "getAccessTokenFromRequest2",
            "config.auth.token2.value",
            "/home/user/.config/token1",
            "xxxxxxxxxxxxxxxxxxxxxxxx12",
            "your-api-key-goes-here-123",
            "claude-3-5-sonnet-20241022",
            "aaaaaaaaaaaaaaaa1111111111",
            "https://host.net/a1b2c3d4e5f6",
        ] {
            assert!(!is_random(value.as_bytes()), "{value}");
        }
        assert!(is_random(b"q7Zp2LmX9vB4nR8sT1cK"));
        assert!(is_random(b"9f86d081884c7d659a2feaa0c55ad015"));
    }

    #[test]
    fn passwords_of_examples_are_told_from_somebodys() {
        assert!(is_password(b"ann", b"Tr0ub4dor", b"db.internal"));
        for (user, password, host) in [
            ("user", "pass", "db.net"),
            ("ann", "ann", "db.net"),
            ("ann", "Tr0ub4dor", "localhost"),
            ("ann", "${PASSWORD}", "db.net"),
            ("ann", "Tr0ub4dor", "db.example.com"),
            ("ann", "8080", "db.net"),
        ] {
            let found = is_password(user.as_bytes(), password.as_bytes(), host.as_bytes());
            assert!(!found, "{user}:{password}@{host}");
        }
    }
}
