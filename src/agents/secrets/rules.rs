//! The forms of credentials, as data.
//!
//! `anchors` are found whatever their case, and all rules of an anchor are tried in their order.
//! `pattern` is matched from `back` bytes before the anchor on, case and all; its first group is the
//! value. Lengths are those that the providers give out today, with room where they say that it may
//! grow.

use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::bytes::{Regex, RegexBuilder};

use super::SecretKind;

/// How a value is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judge {
    /// The form is telling: only examples are thrown out.
    Form,
    /// The form is telling, and what is looked at holds a key's beginning.
    Block,
    /// The value stands beside a name that says what it is.
    Named,
    /// The value stands where a credential belongs, without a name.
    Bare,
    /// A password within a URL; the group before it is the user.
    Url,
}

/// One form.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    pub(super) kind: SecretKind,
    pub(super) anchors: &'static [&'static str],
    pub(super) back: usize,
    pub(super) pattern: &'static str,
    pub(super) judge: Judge,
}

const fn form(
    id: &'static str,
    name: &'static str,
    anchors: &'static [&'static str],
    pattern: &'static str,
) -> Rule {
    Rule { kind: SecretKind { id, name }, anchors, back: 0, pattern, judge: Judge::Form }
}

const fn judged(judge: Judge, rule: Rule) -> Rule {
    Rule { judge, ..rule }
}

const fn from_before(back: usize, rule: Rule) -> Rule {
    Rule { back, ..rule }
}

pub(super) const RULES: &[Rule] = &[
    form(
        "anthropic-key",
        "Anthropic key",
        &["sk-ant-"],
        r"sk-ant-[a-z]{3,6}[0-9]{2}-([A-Za-z0-9_-]{60,200})",
    ),
    form("openrouter-key", "OpenRouter key", &["sk-or-v1-"], r"sk-or-v1-([0-9a-f]{64})"),
    form(
        "openai-key",
        "OpenAI key",
        &["sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-"],
        r"sk-(?:proj|svcacct|admin|None)-([A-Za-z0-9_-]{40,250})",
    ),
    form(
        "openai-key",
        "OpenAI key",
        &["sk-"],
        r"sk-([A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}|[A-Za-z0-9]{48})",
    ),
    form("deepseek-key", "DeepSeek key", &["sk-"], r"sk-([0-9a-f]{32})"),
    form("groq-key", "Groq key", &["gsk_"], r"gsk_([A-Za-z0-9]{52})"),
    form("xai-key", "xAI key", &["xai-"], r"xai-([A-Za-z0-9]{70,90})"),
    form("perplexity-key", "Perplexity key", &["pplx-"], r"pplx-([A-Za-z0-9]{48})"),
    form("hugging-face-token", "Hugging Face token", &["hf_"], r"hf_([A-Za-z0-9]{34,40})"),
    form("replicate-token", "Replicate token", &["r8_"], r"r8_([A-Za-z0-9]{37})"),
    form(
        "github-token",
        "GitHub token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        r"gh[pousr]_([A-Za-z0-9]{36,251})",
    ),
    form("github-token", "GitHub token", &["github_pat_"], r"github_pat_([A-Za-z0-9_]{82})"),
    form(
        "gitlab-token",
        "GitLab token",
        &["glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "glagent-", "gloas-"],
        r"gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|oas)-([A-Za-z0-9_-]{27,300}\.[0-9a-z]{2}\.[0-9a-z]{9}|[A-Za-z0-9_-]{20})",
    ),
    form("aws-key-id", "AWS access key", &["AKIA", "ASIA"], r"A[KS]IA([A-Z2-7]{16})"),
    form("google-key", "Google API key", &["AIza"], r"AIza([A-Za-z0-9_-]{35})"),
    form("google-oauth", "Google OAuth token", &["ya29."], r"ya29\.([A-Za-z0-9_-]{40,2000})"),
    form("google-oauth", "Google OAuth secret", &["GOCSPX-"], r"GOCSPX-([A-Za-z0-9_-]{28})"),
    form("google-oauth", "Google refresh token", &["1//0"], r"1//0([A-Za-z0-9_-]{40,200})"),
    form(
        "azure-storage-key",
        "Azure storage key",
        &["AccountKey="],
        r"AccountKey=([A-Za-z0-9+/]{86}==)",
    ),
    from_before(
        4,
        form(
            "azure-client-secret",
            "Azure client secret",
            &["Q~"],
            r"([A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34})",
        ),
    ),
    form(
        "azure-sas",
        "Azure shared access signature",
        &["sig="],
        r"sig=([A-Za-z0-9%]{40,80}%3[dD])",
    ),
    form(
        "slack-token",
        "Slack token",
        &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-"],
        r"xox[bparse]-([0-9A-Za-z-]{30,250})",
    ),
    form(
        "slack-token",
        "Slack app token",
        &["xapp-"],
        r"xapp-([0-9]-[A-Z0-9]+-[0-9]+-[a-z0-9]{30,80})",
    ),
    form(
        "slack-webhook",
        "Slack webhook",
        &["hooks.slack.com/"],
        r"hooks\.slack\.com/(?:services|workflows)/(T[A-Z0-9]{6,12}/[AB][A-Z0-9]{6,12}/[A-Za-z0-9/]{20,60})",
    ),
    form(
        "stripe-key",
        "Stripe key",
        &["sk_live_", "sk_test_", "rk_live_", "rk_test_"],
        r"[sr]k_(?:live|test)_([A-Za-z0-9]{20,120})",
    ),
    form("stripe-key", "Stripe webhook secret", &["whsec_"], r"whsec_([A-Za-z0-9+/]{32,64})"),
    form("npm-token", "npm token", &["npm_"], r"npm_([A-Za-z0-9]{36})"),
    form("pypi-token", "PyPI token", &["pypi-"], r"pypi-AgE([A-Za-z0-9_-]{50,400})"),
    form("crates-token", "crates.io token", &["cio"], r"cio([A-Za-z0-9]{32})"),
    form("docker-token", "Docker token", &["dckr_"], r"dckr_(?:pat|oat)_([A-Za-z0-9_-]{27,40})"),
    form(
        "digitalocean-token",
        "DigitalOcean token",
        &["dop_v1_", "doo_v1_", "dor_v1_"],
        r"do[por]_v1_([a-f0-9]{64})",
    ),
    form("sendgrid-key", "SendGrid key", &["SG."], r"SG\.([A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})"),
    form("mailgun-key", "Mailgun key", &["key-"], r"key-([0-9a-f]{32})"),
    form("linear-key", "Linear key", &["lin_api_"], r"lin_api_([A-Za-z0-9]{40})"),
    form("notion-token", "Notion token", &["ntn_"], r"ntn_([0-9]{11}[A-Za-z0-9]{35})"),
    from_before(
        11,
        form(
            "telegram-token",
            "Telegram bot token",
            &[":AA"],
            r"[^0-9]{0,3}([0-9]{8,10}:AA[A-Za-z0-9_-]{33})",
        ),
    ),
    form("vault-token", "Vault token", &["hvs.", "hvb."], r"hv[sb]\.([A-Za-z0-9_-]{60,300})"),
    form(
        "shopify-token",
        "Shopify token",
        &["shpat_", "shpss_", "shpca_"],
        r"shp(?:at|ss|ca)_([a-fA-F0-9]{32})",
    ),
    form("databricks-token", "Databricks token", &["dapi"], r"dapi([a-f0-9]{32})"),
    form(
        "supabase-token",
        "Supabase token",
        &["sbp_", "sb_secret_"],
        r"(?:sbp_|sb_secret_)([A-Za-z0-9_-]{30,60})",
    ),
    form(
        "tailscale-key",
        "Tailscale key",
        &["tskey-"],
        r"tskey-[a-z]+-([A-Za-z0-9]{8,24}-[A-Za-z0-9]{20,50})",
    ),
    form(
        "age-key",
        "age secret key",
        &["AGE-SECRET-KEY-"],
        r"AGE-SECRET-KEY-(?:PQ-)?1([QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58,})",
    ),
    judged(
        Judge::Block,
        form(
            "private-key",
            "private key",
            &["-----BEGIN "],
            r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:(?:\\+[rn]|\s)+(?:Proc-Type|DEK-Info|Version|Comment):[^\n\\]{0,80})*(?:\\+[rn]|\s)+([A-Za-z0-9+/]{40})",
        ),
    ),
    form(
        "jwt",
        "JSON web token",
        &["eyJ"],
        r"(eyJ[A-Za-z0-9_-]{14,1024}\.eyJ[A-Za-z0-9_-]{14,4096}\.[A-Za-z0-9_-]{20,1024})",
    ),
    judged(
        Judge::Url,
        form(
            "url-password",
            "URL with a password",
            &["://"],
            r#"://([^\s"'`\\/:@<>{}()\[\]]{0,64}):([^\s"'`\\/@<>{}()\[\]]{3,128})@([A-Za-z0-9\[][A-Za-z0-9.:-]*)"#,
        ),
    ),
    judged(
        Judge::Bare,
        form(
            "bearer-token",
            "bearer token",
            &["bearer "],
            r"(?i:bearer) {1,4}([A-Za-z0-9_.=+/~-]{20,2048})",
        ),
    ),
    judged(
        Judge::Named,
        form(
            "named-secret",
            "value named as a credential",
            &[
                "api_key",
                "api-key",
                "apikey",
                "access_key",
                "access-key",
                "accesskey",
                "auth_key",
                "authkey",
                "private_key",
                "privatekey",
                "signing_key",
                "signingkey",
                "signing-key",
                "encryption-key",
                "private-key",
                "auth-key",
                "account-key",
                "encryption_key",
                "encryptionkey",
                "account_key",
                "secret",
                "token",
                "passwd",
                "password",
                "credential",
            ],
            r#"[A-Za-z_-]+[A-Za-z0-9_.-]{0,24}(?:\\{0,3}["'`])?\]?[ \t]{0,4}(?:=>|:=|={1,3}|:)[ \t]{0,4}(?:(\\{0,3}["'`])([A-Za-z0-9_./+=~:!@%^&*-]{16,512})(?:\\|["'`])|([A-Za-z0-9_./+=~-]{16,512})(?:[\s\\,;"'&#<>|)}\]]|$))"#,
        ),
    ),
];

/// The rules, ready for use.
pub(super) struct Prepared {
    pub(super) anchors: AhoCorasick,
    /// For each anchor the rules to try.
    pub(super) rules_of: Vec<Vec<&'static Rule>>,
    /// For each rule, in the table's order, its pattern.
    patterns: Vec<Regex>,
}

impl Prepared {
    /// Returns a rule's pattern.
    pub(super) fn pattern(&self, rule: &'static Rule) -> Option<&Regex> {
        let place = RULES.iter().position(|it| std::ptr::eq(it, rule))?;
        self.patterns.get(place)
    }
}

/// Returns the rules, made ready when first asked for; an error if one of them is wrong, which a
/// test would have seen.
pub(super) fn prepared() -> Result<&'static Prepared, String> {
    static PREPARED: OnceLock<Result<Prepared, String>> = OnceLock::new();
    PREPARED.get_or_init(prepare).as_ref().map_err(Clone::clone)
}

fn prepare() -> Result<Prepared, String> {
    let mut words: Vec<&str> = Vec::new();
    let mut rules_of: Vec<Vec<&'static Rule>> = Vec::new();
    for rule in RULES {
        for anchor in rule.anchors {
            if let Some(place) = words.iter().position(|word| word == anchor) {
                rules_of.get_mut(place).into_iter().for_each(|it| it.push(rule));
            } else {
                words.push(anchor);
                rules_of.push(vec![rule]);
            }
        }
    }
    let anchors = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .kind(Some(AhoCorasickKind::DFA))
        .build(words)
        .map_err(|error| error.to_string())?;
    let patterns = RULES.iter().map(|rule| {
        let anchored = format!("^(?:{})", rule.pattern);
        RegexBuilder::new(&anchored).unicode(false).build().map_err(|error| error.to_string())
    });
    Ok(Prepared { anchors, rules_of, patterns: patterns.collect::<Result<_, _>>()? })
}
