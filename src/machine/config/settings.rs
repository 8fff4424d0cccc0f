//! What holds in the end, and who said so.

use serde::Serialize;
use serde_json::{Value, json};

use super::entries::{
    AgentEntry, AgentsOfJob, Config, JobEntry, RepositoryEntry, Stated, within_key,
};
use crate::engine::retention::{Count, Policy};
use crate::error::Result;
use crate::format::tree::Category;
use crate::machine::environment::Environment;
use crate::machine::location::{Chosen, LocationOptions, choose};
use crate::machine::places::Places;

/// One value that holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// Its key: `jobs.agents.secrets`.
    pub key: String,
    /// The value.
    pub value: Value,
    /// Who said so: an option, a variable, a file and its line, or `default`.
    pub source: String,
}

/// Settings as they are gathered.
struct Gathered<'a> {
    config: &'a Config,
    environment: &'a Environment,
    settings: Vec<Setting>,
}

impl Config {
    /// Returns every value that holds: what an option or a variable says before what the file does,
    /// and defaults where they matter. A passphrase or a credential is never among them.
    pub fn settings(
        &self,
        options: &LocationOptions,
        environment: &Environment,
        places: &Places,
    ) -> Result<Vec<Setting>> {
        let mut gathered = Gathered { config: self, environment, settings: Vec::new() };
        gathered.main(options, places)?;
        for repository in &self.repositories {
            gathered.repository(repository)?;
        }
        if self.jobs.is_empty() {
            gathered.job(&JobEntry { name: "agents".to_owned(), ..JobEntry::default() });
        }
        for job in &self.jobs {
            gathered.job(job);
        }
        for agent in &self.agents {
            gathered.agent(agent);
        }
        gathered.sync();
        gathered.search();
        Ok(gathered.settings)
    }
}

impl Gathered<'_> {
    fn say(&mut self, key: String, value: impl Into<Value>, source: String) {
        self.settings.push(Setting { key, value: value.into(), source });
    }

    fn line(&self, line: usize) -> String {
        let name = self.config.path.file_name().unwrap_or_default();
        format!("{}:{line}", name.to_string_lossy())
    }

    /// Says what stands in the file, if it does.
    fn stated<T>(&mut self, key: &str, stated: Option<&Stated<T>>, value: impl Fn(&T) -> Value) {
        if let Some(stated) = stated {
            self.say(key.to_owned(), value(&stated.value), self.line(stated.line));
        }
    }

    /// Does the same, with a default.
    fn or_default<T>(
        &mut self,
        key: &str,
        stated: Option<&Stated<T>>,
        value: impl Fn(&T) -> Value,
        default: Value,
    ) {
        match stated {
            Some(_) => self.stated(key, stated, value),
            None => self.say(key.to_owned(), default, "default".to_owned()),
        }
    }

    fn main(&mut self, options: &LocationOptions, places: &Places) -> Result<()> {
        let chosen = choose(options, self.environment, places, self.config)?;
        let source = match &chosen {
            Chosen::Named { came_from, .. } => came_from.replace('`', ""),
            Chosen::Default(_) => "default".to_owned(),
        };
        self.say("repository".to_owned(), chosen.location().to_string(), source);
        Ok(())
    }

    fn repository(&mut self, entry: &RepositoryEntry) -> Result<()> {
        let key = |name: &str| format!("repositories.{}.{name}", entry.name);
        // Shown as it is understood, without what may stand before an `@`.
        let location = self.config.location_of(entry, self.environment)?.to_string();
        self.stated(&key("location"), Some(&entry.location), |_| json!(location));
        let texts = [
            ("repo_id", &entry.repo_id),
            ("passphrase_command", &entry.passphrase_command),
            ("credentials_command", &entry.credentials_command),
            ("region", &entry.region),
            ("endpoint", &entry.endpoint),
        ];
        for (name, stated) in texts {
            self.stated(&key(name), stated.as_ref(), |text| json!(text));
        }
        for (name, stated) in
            [("passphrase_file", &entry.passphrase_file), ("ca_file", &entry.ca_file)]
        {
            self.stated(&key(name), stated.as_ref(), |path| json!(path));
        }
        for (name, stated) in
            [("limit_upload", &entry.limit_upload), ("limit_download", &entry.limit_download)]
        {
            self.stated(&key(name), stated.as_ref(), |number| json!(number));
        }
        Ok(())
    }

    fn job(&mut self, job: &JobEntry) {
        let key = |name: &str| format!("jobs.{}.{name}", job.name);
        let variables = ["STASH_REPOSITORY", "STASH_REPOSITORY_FILE"];
        let named = variables.into_iter().find(|name| self.environment.get(name).is_some());
        if named.is_none() {
            let main = self.config.main_repository().map(|it| it.name.clone());
            let main = json!(main.into_iter().collect::<Vec<_>>());
            self.or_default(&key("repositories"), job.repositories.as_ref(), |it| json!(it), main);
        }
        let agents = |agents: &AgentsOfJob| match agents {
            AgentsOfJob::All => json!(["all"]),
            AgentsOfJob::These(names) => json!(names),
        };
        self.or_default(&key("agents"), job.agents.as_ref(), agents, json!(["all"]));
        self.stated(&key("paths"), job.paths.as_ref(), |it| json!(it));
        self.stated(&key("only"), job.only.as_ref(), |it| categories(it));
        self.stated(&key("exclude"), job.exclude.as_ref(), |it| json!(it));
        self.secrets(job, key("secrets"));
        self.stated(&key("schedule"), job.schedule.as_ref(), |it| json!(it));
        self.stated(&key("keep"), job.keep.as_ref(), policy);
        self.stated(&key("overdue_after"), job.overdue_after.as_ref(), |it| {
            json!(format!("{it:?}"))
        });
        for (name, stated) in
            [("before", &job.before), ("after", &job.after), ("on_failure", &job.on_failure)]
        {
            self.stated(&key(name), stated.as_ref(), |it| json!(it));
        }
    }

    fn secrets(&mut self, job: &JobEntry, key: String) {
        let word = |exclude: &bool| json!(if *exclude { "exclude" } else { "encrypt" });
        match self.environment.get("STASH_SECRETS") {
            Some(said) => {
                self.say(key, said.to_string_lossy().into_owned(), "STASH_SECRETS".to_owned());
            }
            None => self.or_default(&key, job.without_secrets.as_ref(), word, json!("encrypt")),
        }
    }

    fn agent(&mut self, agent: &AgentEntry) {
        let key = |name: &str| format!("agents.{}.{name}", agent.id);
        self.or_default(&key("enabled"), agent.enabled.as_ref(), |it| json!(it), json!(true));
        self.stated(&key("roots"), agent.roots.as_ref(), |it| json!(it));
        self.stated(&key("projects"), agent.projects.as_ref(), |it| json!(it));
        self.stated(&key("exclude"), agent.exclude.as_ref(), |it| json!(it));
        let follow = agent.follow_links.as_ref();
        self.or_default(&key("follow_links"), follow, |it| json!(it), json!(false));
    }

    fn sync(&mut self) {
        let sync = &self.config.sync;
        self.or_default("sync.enabled", sync.enabled.as_ref(), |it| json!(it), json!(false));
        self.stated("sync.agents", sync.agents.as_ref(), |it| json!(it));
        self.stated("sync.projects", sync.projects.as_ref(), |it| json!(it));
        self.stated("sync.only", sync.only.as_ref(), |it| categories(it));
    }
}

impl Gathered<'_> {
    fn search(&mut self) {
        let search = &self.config.search;
        self.or_default("search.index", search.index.as_ref(), |it| json!(it), json!(true));
        self.or_default("search.trigram", search.trigram.as_ref(), |it| json!(it), json!(false));
    }
}

fn categories(categories: &[Category]) -> Value {
    json!(categories.iter().map(|it| it.name()).collect::<Vec<_>>())
}

fn policy(policy: &Policy) -> Value {
    let mut object = serde_json::Map::new();
    for (period, count) in &policy.counts {
        let count = match count {
            Count::Number(number) => json!(number),
            Count::Unlimited => json!("unlimited"),
        };
        object.insert(period.name().to_owned(), count);
    }
    for (period, within) in &policy.within {
        object.insert(within_key(*period), json!(within.to_string()));
    }
    if !policy.tags.is_empty() {
        let tags: Vec<String> = policy.tags.iter().map(|tags| tags.join(",")).collect();
        object.insert("tag".to_owned(), json!(tags));
    }
    Value::Object(object)
}
