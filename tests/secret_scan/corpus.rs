//! Credentials drawn by lot, and texts as agents and programmers have them, without any.
//!
//! No credential stands in this file: each is made when it is needed.

pub(crate) const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &str = "0123456789abcdef";
const URL_SAFE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE32: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const DIGITS: &str = "0123456789";
const BECH32: &str = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";

/// A source of numbers, the same for the same seed.
pub(crate) struct Random(fastrand::Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(fastrand::Rng::with_seed(seed))
    }

    fn text(&mut self, alphabet: &str, length: usize) -> String {
        let letters = alphabet.as_bytes();
        (0..length).map(|_| char::from(letters[self.0.usize(..letters.len())])).collect()
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.0.usize(..of.len())]
    }
}

/// Something that must be found.
pub(crate) struct Planted {
    pub(crate) kind: &'static str,
    pub(crate) text: String,
}

/// A prefix and letters drawn by lot. Without a prefix a digit is among them: a value that is known
/// by its name only is not found without.
pub(crate) fn token(prefix: &str, alphabet: &str, length: usize, random: &mut Random) -> String {
    // What ends in a sign that is no letter may be cut short by what follows; real ones may, too.
    let last = match (prefix, alphabet.contains('z')) {
        ("", _) => "2467",
        (_, true) => "acegikmoq",
        (_, false) => &alphabet[..7],
    };
    let (body, last) = (random.text(alphabet, length - 1), random.text(last, 1));
    format!("{prefix}{body}{last}")
}

pub(crate) fn private_key(random: &mut Random) -> String {
    let mut text = "-----BEGIN RSA PRIVATE KEY-----\n".to_owned();
    for _ in 0..12 {
        text.push_str(&random.text(BASE64, 64));
        text.push('\n');
    }
    text + "-----END RSA PRIVATE KEY-----"
}

/// One of each kind, and several where a provider has several forms.
pub(crate) fn every_kind(random: &mut Random) -> Vec<Planted> {
    let mut all: Vec<Planted> = Vec::new();
    let plain: &[(&'static str, &str, &str, usize)] = &[
        ("openrouter-key", "sk-or-v1-", HEX, 64),
        ("openai-key", "sk-proj-", URL_SAFE, 120),
        ("openai-key", "sk-", ALNUM, 48),
        ("deepseek-key", "sk-", HEX, 32),
        ("groq-key", "gsk_", ALNUM, 52),
        ("xai-key", "xai-", ALNUM, 80),
        ("perplexity-key", "pplx-", ALNUM, 48),
        ("hugging-face-token", "hf_", ALNUM, 34),
        ("replicate-token", "r8_", ALNUM, 37),
        ("github-token", "gho_", ALNUM, 36),
        ("github-token", "github_pat_", ALNUM, 82),
        ("gitlab-token", "glpat-", URL_SAFE, 20),
        ("aws-key-id", "AKIA", BASE32, 16),
        ("google-key", "AIza", URL_SAFE, 35),
        ("google-oauth", "ya29.", URL_SAFE, 160),
        ("google-oauth", "GOCSPX-", URL_SAFE, 28),
        ("stripe-key", "sk_live_", ALNUM, 24),
        ("stripe-key", "whsec_", BASE64, 32),
        ("npm-token", "npm_", ALNUM, 36),
        ("pypi-token", "pypi-AgEIcHlwaS5vcmc", URL_SAFE, 120),
        ("crates-token", "cio", ALNUM, 32),
        ("docker-token", "dckr_pat_", URL_SAFE, 27),
        ("digitalocean-token", "dop_v1_", HEX, 64),
        ("mailgun-key", "key-", HEX, 32),
        ("linear-key", "lin_api_", ALNUM, 40),
        ("vault-token", "hvs.", URL_SAFE, 95),
        ("shopify-token", "shpat_", HEX, 32),
        ("databricks-token", "dapi", HEX, 32),
        ("supabase-token", "sbp_", HEX, 40),
        ("age-key", "AGE-SECRET-KEY-1", BECH32, 58),
        ("anthropic-key", "sk-ant-api03-", URL_SAFE, 95),
        ("anthropic-key", "sk-ant-oat01-", URL_SAFE, 95),
    ];
    for (kind, prefix, alphabet, length) in plain {
        all.push(Planted {
            kind,
            text: sound(|random| token(prefix, alphabet, *length, random), random),
        });
    }
    let mut made = |kind, make: &dyn Fn(&mut Random) -> String| {
        let text = sound(make, random);
        all.push(Planted { kind, text });
    };
    made("private-key", &private_key);
    made("google-oauth", &|r| token("1//0", URL_SAFE, 100, r));
    made("azure-storage-key", &|r| format!("AccountKey={}==", r.text(BASE64, 86)));
    made("azure-client-secret", &|r| format!("{}8Q~{}", r.text(ALNUM, 3), token("", ALNUM, 34, r)));
    made("azure-sas", &|r| {
        format!("https://x.blob.core.windows.net/c?sv=2024-05-04&sig={}%3D", r.text(ALNUM, 43))
    });
    made("slack-token", &|r| {
        format!("xoxb-{}-{}-{}", r.text("3456789", 12), r.text("3456789", 12), r.text(ALNUM, 24))
    });
    made("slack-token", &|r| {
        format!("xapp-1-{}-{}-{}", r.text("ABDEHKLQZ", 11), r.text("3456789", 13), r.text(HEX, 64))
    });
    made("slack-webhook", &|r| {
        format!(
            "https://hooks.slack.com/services/T{}/B{}/{}",
            r.text("ABDEHKLQZ29", 9),
            r.text("ABDEHKLQZ29", 9),
            r.text(ALNUM, 24)
        )
    });
    made("gitlab-token", &|r| {
        format!("glpat-{}.01.{}", r.text(URL_SAFE, 40), r.text("acegikmoq2467", 9))
    });
    made("sendgrid-key", &|r| {
        format!("SG.{}.{}", r.text(URL_SAFE, 22), token("", URL_SAFE, 43, r))
    });
    made("notion-token", &|r| format!("ntn_{}{}", r.text("346789", 11), r.text(ALNUM, 35)));
    made("telegram-token", &|r| {
        format!("{}:AA{}", r.text("3456789", 10), token("", URL_SAFE, 33, r))
    });
    made("telegram-token", &|r| {
        format!("{}:AA{}", r.text("3456789", 8), token("", URL_SAFE, 33, r))
    });
    made("tailscale-key", &|r| format!("tskey-auth-{}-{}", r.text(ALNUM, 17), r.text(ALNUM, 32)));
    made("jwt", &|r| {
        format!("eyJhbGciOiJFUzI1NiJ9.eyJ{}.{}", r.text(URL_SAFE, 160), token("", URL_SAFE, 86, r))
    });
    made("url-password", &|r| {
        format!("postgres://shop:{}@db.shop.internal:5432/shop", r.text(ALNUM, 16))
    });
    made("url-password", &|r| format!("redis://:{}@cache.shop.internal", r.text(ALNUM, 20)));
    made("bearer-token", &|r| format!("Authorization: Bearer {}", token("", ALNUM, 40, r)));
    for name in ["api_key", "CLIENT_SECRET", "\"accessToken\"", "service.password", "signing-key"] {
        made("named-secret", &|r| format!("{name} = \"{}\"", token("", ALNUM, 40, r)));
        made("named-secret", &|r| format!("{name}: \"{}\"", token("", HEX, 40, r)));
    }
    made("named-secret", &|r| format!("SHOP_API_KEY={}", token("", ALNUM, 32, r)));
    made("named-secret", &|r| format!("aws_secret_access_key = {}", token("", BASE64, 40, r)));
    all
}

/// Draws until nothing in it reads like an example: the odds are told in `judge.rs`.
fn sound(make: impl Fn(&mut Random) -> String, random: &mut Random) -> String {
    const EXAMPLES: [&str; 12] = [
        "xxxx", "00000", "11111", "12345", "abcdef", "fake", "your", "dummy", "insert", "sample",
        "qwert", "example",
    ];
    loop {
        let text = make(random);
        let lower = text.to_lowercase();
        if !EXAMPLES.iter().any(|it| lower.contains(it)) {
            return text;
        }
    }
}

/// Files without any credential, each of a sort that scanners stumble over.
pub(crate) fn harmless(random: &mut Random) -> Vec<(&'static str, String)> {
    vec![
        ("session.jsonl", transcript(random)),
        ("package-lock.json", package_lock(random)),
        ("Cargo.lock", cargo_lock(random)),
        ("image.json", image(random)),
        ("server.ts", code(random)),
        ("setup.md", manual(random)),
        ("git.log", git_log(random)),
        (".env.example", env_example(random)),
        ("bundle.min.js", minified(random)),
    ]
}

fn uuid(random: &mut Random) -> String {
    let mut part = |length| random.text(HEX, length);
    format!("{}-{}-{}-{}-{}", part(8), part(4), part(4), part(4), part(12))
}

fn prose(random: &mut Random, words: usize) -> String {
    const WORDS: &[&str] = &[
        "the",
        "token",
        "secret",
        "of",
        "this",
        "password",
        "field",
        "is",
        "read",
        "from",
        "config",
        "api",
        "key",
        "rotation",
        "risk-free",
        "task-list",
        "each",
        "session",
        "returns",
        "a",
        "credential",
        "helper",
        "which",
        "we",
        "should",
        "test",
        "before",
        "release",
        "task-runner",
        "precious",
        "bearer",
        "msg.",
        "disk-cache",
        "authorization:",
        "header",
        "is",
        "missing",
    ];
    let text: Vec<&str> = (0..words).map(|_| random.one(WORDS)).collect();
    text.join(" ")
}

fn transcript(random: &mut Random) -> String {
    let mut text = String::new();
    for turn in 0..150 {
        let (id, parent) = (uuid(random), uuid(random));
        let words = prose(random, 60);
        let tool = random.text(ALNUM, 22);
        let signature = random.text(BASE64, 300);
        let commit = random.text(HEX, 40);
        let digest = random.text(HEX, 64);
        let quoted = serde_json::to_string(&code(random)).unwrap();
        text.push_str(&format!(
            r#"{{"parentUuid":"{parent}","uuid":"{id}","sessionId":"{parent}","requestId":"req_011C{tool}","type":"assistant","message":{{"id":"msg_01{tool}","model":"claude-sonnet-4-5-20250929","usage":{{"input_tokens":{turn},"cache_read_input_tokens":17320,"output_tokens":11}},"content":[{{"type":"thinking","thinking":"{words}","signature":"{signature}=="}},{{"type":"tool_use","id":"toolu_01{tool}","name":"Bash","input":{{"command":"git show {commit}"}}}},{{"type":"tool_result","tool_use_id":"toolu_01{tool}","content":{quoted}}}]}},"sha256":"{digest}","next_page_token":"{tool}{tool}","csrfToken":"{tool}{tool}","timestamp":"2026-11-02T09:14:06.500Z"}}"#,
        ));
        text.push('\n');
    }
    text
}

fn package_lock(random: &mut Random) -> String {
    let mut text = "{\n".to_owned();
    for _ in 0..800 {
        let name =
            random.one(&["token-types", "js-tokens", "secret-box", "password-prompt", "left"]);
        let hash = random.text(BASE64, 86);
        text.push_str(&format!(
            "    \"node_modules/{name}\": {{\n      \"version\": \"4.0.1\",\n      \"resolved\": \"https://registry.invalid/{name}/-/{name}-4.0.1.tgz\",\n      \"integrity\": \"sha512-{hash}==\"\n    }},\n"
        ));
    }
    text + "}\n"
}

fn cargo_lock(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..800 {
        let hash = random.text(HEX, 64);
        let name = random.one(&["secrecy", "tokenizers", "passwords", "api-key", "credential"]);
        text.push_str(&format!(
            "[[package]]\nname = \"{name}\"\nversion = \"1.2.3\"\nchecksum = \"{hash}\"\n\n"
        ));
    }
    text
}

fn image(random: &mut Random) -> String {
    let data = random.text(BASE64, 300_000);
    format!(
        r#"{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo{data}=="}}}}"#
    )
}

fn code(random: &mut Random) -> String {
    let number = random.text(DIGITS, 3);
    let id = uuid(random);
    let hash = random.text(HEX, 40);
    format!(
        r#"import {{ readToken, SecretStore }} from "./auth/token-store{number}";
const apiKey = process.env.SHOP_API_KEY_V2;
const token = await getAccessTokenForService2(request.headers.authorization);
const secret: string = config.get("services.payment.client2.secret");
let password = prompt("Password for user 1:");
if (token === "expected-session-token-2024-11") return;
const API_KEY_HEADER = "x-shop-api-key-v1-2024";
export const tokenEndpoint = "https://login.shop.internal/oauth2/v2.0/token";
const sessionToken = "{id}";
const privateKeyPath = "/etc/ssl/private/shop-2024-key.pem";
const accessKeyId = "{hash}";
assert_eq!(parse_token("Bearer test-token-for-unit-tests-01"), None);
const url = `postgres://${{user}}:${{password}}@${{host}}:5432/shop`;
const local = "postgres://postgres:postgres@localhost:5432/shop_test";
const docs = "https://user:password@example.com/path";
credentials = ServiceAccountCredentials.from_json_keyfile_name2(KEY_FILE_1)
fingerprint = "SHA256:{hash}"; secret_name = "shop-production-db-2024a";
token_hash = "{hash}"; max_tokens: 4096; password_hash = "$2b$12$abcdefghijklmnopqrstuv";
curl -H "Authorization: Bearer $SHOP_TOKEN_2" https://api.shop.internal/v1/orders
"#
    )
}

fn manual(random: &mut Random) -> String {
    let words = prose(random, 200);
    format!(
        "{words}\n\n    export ANTHROPIC_API_KEY=sk-ant-api03-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n\
         \x20   export OPENAI_API_KEY=\"sk-your-key-here\"\n    GITHUB_TOKEN=ghp_your_token_goes_here_0000000000000000\n\
         \x20   aws_access_key_id = AKIAIOSFODNN7EXAMPLE\n    aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n\
         \x20   api_key: \"<your api key>\"\n    token: ${{{{ secrets.NPM_TOKEN_1 }}}}\n    password: \"********************\"\n\
         \x20   -----BEGIN PRIVATE KEY-----\n    ...\n    -----END PRIVATE KEY-----\n\n{words}\n"
    )
}

fn git_log(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..300 {
        let (commit, tree) = (random.text(HEX, 40), random.text(HEX, 40));
        let words = prose(random, 9);
        text.push_str(&format!("commit {commit}\ntree {tree}\nAuthor: Ann <ann@shop.internal>\n\n    token: {words}\n\n"));
    }
    text
}

fn env_example(random: &mut Random) -> String {
    let port = random.text("3456789", 4);
    format!(
        "PORT={port}\nDATABASE_URL=postgres://shop:secret@localhost:{port}/shop\nSESSION_SECRET=change-me-to-something-long-1\n\
         STRIPE_SECRET_KEY=sk_test_your_stripe_key_00000000\nAPI_TOKEN=insert-your-token-here-12345\nJWT_SECRET=\nTOKEN_TTL=3600000000000000\n"
    )
}

fn minified(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..3000 {
        let (a, b) = (random.text(ALNUM, 2), random.text(ALNUM, 1));
        let n = random.text(DIGITS, 4);
        text.push_str(&format!(
            "function {a}({b}){{var token={b}.token,password:{b}.pwd{n};return {b}.apiKey?{b}.secret:\"{a}\"+{n}}},\"tokenSeparators{n}\":!0,"
        ));
    }
    text
}
