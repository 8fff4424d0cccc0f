//! What the server holds, and how it answers.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::{Action, Answer, Behaviour, Request, decode};

#[derive(Default)]
pub(super) struct Objects(BTreeMap<String, BTreeMap<String, (Vec<u8>, i64)>>);

impl Objects {
    pub(super) fn make_bucket(&mut self, name: &str) {
        self.0.entry(name.to_owned()).or_default();
    }

    pub(super) fn names(&self, bucket: &str) -> Vec<String> {
        self.0.get(bucket).map(|objects| objects.keys().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn sizes(&self, bucket: &str) -> Vec<(String, u64)> {
        let rows = self.0.get(bucket).into_iter().flatten();
        rows.map(|(name, (bytes, _))| (name.clone(), bytes.len() as u64)).collect()
    }

    pub(super) fn place(&mut self, bucket: &str, name: &str, bytes: Vec<u8>, stored: i64) {
        let objects = self.0.entry(bucket.to_owned()).or_default();
        objects.insert(name.to_owned(), (bytes, stored));
    }

    pub(super) fn serve(
        &mut self,
        behaviour: &Behaviour,
        request: &Request,
        body: Vec<u8>,
        action: Action,
    ) -> Answer {
        let (bucket, name) = request.path.split_once('/').unwrap_or((&request.path, ""));
        if name.is_empty() && request.method == "PUT" {
            self.make_bucket(bucket);
            return Answer::new(200);
        }
        let Some(objects) = self.0.get_mut(bucket) else {
            return Answer::refusal(404, "NoSuchBucket");
        };
        match request.method.as_str() {
            "GET" if name.is_empty() => list(objects, behaviour, &request.query, action),
            "PUT" => {
                if behaviour.creates && request.create && objects.contains_key(name) {
                    return Answer::refusal(412, "PreconditionFailed");
                }
                let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
                objects.insert(name.to_owned(), (body, now));
                let mut answer = Answer::new(200);
                answer.headers.push(("ETag", "\"0\"".to_owned()));
                answer
            }
            "DELETE" => {
                objects.remove(name);
                Answer::new(204)
            }
            "GET" | "HEAD" => match objects.get(name) {
                Some((bytes, time)) => read(bytes, *time, request),
                None => Answer::refusal(404, "NoSuchKey"),
            },
            _ => Answer::refusal(400, "NotImplemented"),
        }
    }
}

fn read(bytes: &[u8], time: i64, request: &Request) -> Answer {
    let mut answer = Answer::new(200);
    answer.headers.push(("ETag", "\"0\"".to_owned()));
    answer.headers.push(("Last-Modified", http_date(time)));
    let Some((start, end)) = request.range.as_ref().and_then(|range| range.split_once('-')) else {
        if request.method == "HEAD" {
            answer.headers.push(("Content-Length", bytes.len().to_string()));
        }
        answer.body = bytes.to_vec();
        return answer;
    };
    let start: usize = start.parse().unwrap();
    let end = end.parse::<usize>().map_or(bytes.len(), |end| (end + 1).min(bytes.len()));
    if start >= bytes.len() {
        return Answer::refusal(416, "InvalidRange");
    }
    answer.status = 206;
    let range = format!("bytes {start}-{}/{}", end - 1, bytes.len());
    answer.headers.push(("Content-Range", range));
    answer.body = bytes[start..end].to_vec();
    answer
}

fn list(
    objects: &BTreeMap<String, (Vec<u8>, i64)>,
    behaviour: &Behaviour,
    query: &str,
    action: Action,
) -> Answer {
    let value = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(own, _)| *own == name).map(|(_, value)| value);
        values.next().map(|value| decode(&value.replace('+', " ")))
    };
    let prefix = value("prefix").unwrap_or_default();
    let after = value("continuation-token").or_else(|| value("start-after")).unwrap_or_default();
    let begin =
        if after > prefix { Bound::Excluded(after) } else { Bound::Included(prefix.clone()) };
    let mut rows: Vec<_> = objects
        .range((begin, Bound::Unbounded))
        .take_while(|(name, _)| name.starts_with(&prefix))
        .take(behaviour.page + 1)
        .collect();
    let mut has_more = rows.len() > behaviour.page;
    rows.truncate(behaviour.page);
    let last = rows.last().map(|(name, _)| (*name).clone()).unwrap_or_default();
    match action {
        Action::DropRows => {
            let mut number = 0;
            rows.retain(|_| {
                number += 1;
                number % 2 == 0
            });
        }
        Action::RepeatRows => rows = rows.iter().flat_map(|row| [*row, *row]).collect(),
        Action::CutRows => {
            rows.truncate(rows.len() / 2);
            has_more = false;
        }
        _ => {}
    }
    let mut body =
        format!("<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>{has_more}</IsTruncated>");
    if has_more {
        body.push_str(&format!(
            "<NextContinuationToken>{}</NextContinuationToken>",
            last.replace('&', "&amp;")
        ));
    }
    for (name, (bytes, time)) in rows {
        let name = name.replace('&', "&amp;");
        body.push_str(&format!(
            "<Contents><Key>{name}</Key><Size>{}</Size><LastModified>{}</LastModified>\
             <ETag>\"0\"</ETag></Contents>",
            bytes.len(),
            jiff::Timestamp::from_second(*time).unwrap(),
        ));
    }
    body.push_str("</ListBucketResult>");
    let mut answer = Answer::new(200);
    answer.headers.push(("x-amz-bucket-region", behaviour.region.to_owned()));
    answer.body = body.into();
    answer
}

pub(super) fn http_date(seconds: i64) -> String {
    let moment = jiff::Timestamp::from_second(seconds).unwrap();
    moment.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
