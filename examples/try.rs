use stash::codec::crypto::*;use stash::repository::*;use stash::store::Store;use stash::time::*;use stash::engine::backup::*;
struct C;impl Clock for C{fn now(&self)->Timestamp{Timestamp(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64)}fn boot_nanoseconds(&self)->i64{self.now().0}}
fn main(){
 let a:Vec<String>=std::env::args().collect();
 let t=std::time::Instant::now();
 let repo=std::path::Path::new(&a[1]);
 let f=LocalFolders{cache:Some(repo.with_extension("cache")),state:Some(repo.with_extension("state"))};
 let store=Store::folder(repo,true).unwrap();
 let r=match LockedRepository::find(store.clone(),None){Ok(l)=>l.unlock(&SlotSecret::Device(Key([1;32])),&f).unwrap(),Err(_)=>Repository::init(&store,&InitOptions::default(),&[(SlotSecret::Device(Key([1;32])),"x".into())],C.now(),&f).unwrap()};
 let o=BackupOptions{paths:a[2..].iter().map(Into::into).collect(),excludes:std::sync::Arc::new(stash::files::Excludes::new(&Default::default()).unwrap()),host:"h".into(),user:"u".into(),job:"j".into(),tags:vec![],time:None,offset_minutes:0,force:std::env::var("FORCE").is_ok(),always:false,dry_run:false,compression:Default::default(),threads:2};
 println!("open {:?}",t.elapsed());
 let rep=backup(&r,&o,&C,&Default::default(),&stash::event::Silent);
 println!("{:#?} {:?}",rep,t.elapsed());
}
