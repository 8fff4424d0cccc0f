//! One directory that a walk is in: its names, where the walk stands, and what is read ahead.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::ffi::CStr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use ignore::gitignore::Gitignore;
use rustix::io::Errno;

use crate::files::ahead::{Ahead, Panicked, Pool, Urgency};
use crate::files::exclude::{ExcludeReason, Excludes};
use crate::files::names::{Identity, Names, open_directory, stat_at};
use crate::files::stat::Stat;

/// How many entries are looked at together.
const PAGE: usize = 256;
/// How many further pages of one directory are looked at ahead.
const COMING_PAGES: usize = 4;
/// How many subdirectories of one directory are listed ahead.
const COMING_LISTINGS: usize = 6;

type Page = Vec<Result<Stat, Errno>>;

/// A directory as it was read in one go.
pub(super) struct Listing {
    directory: OwnedFd,
    names: Names,
    /// The metadata of the first entries.
    page: Page,
    marker: Option<ExcludeReason>,
    gitignore: Option<Gitignore>,
}

pub(super) type ListResult = Result<Listing, Errno>;

/// A directory that the walk is in.
pub(super) struct Frame {
    /// How many bytes of the walk's path are this directory's.
    pub(super) path_length: usize,
    pub(super) names: Arc<Names>,
    /// `None` while the walk is far below.
    pub(super) directory: Option<Arc<OwnedFd>>,
    /// Known once `directory` was closed.
    pub(super) identity: Option<Identity>,
    /// The next entry's place among the names.
    next: usize,
    /// Metadata of the entries from `page_start` on.
    page: Page,
    page_start: usize,
    /// The pages after it, as far as they are coming.
    coming_pages: VecDeque<Ahead<Page>>,
    /// Subdirectories listed ahead, by place.
    coming_listings: VecDeque<(usize, Ahead<ListResult>)>,
    /// Up to which place subdirectories were looked for.
    searched: usize,
}

impl Frame {
    /// Begins a directory; returns too why its content is left out, and its `.gitignore`.
    pub(super) fn new(
        path_length: usize,
        listing: Listing,
    ) -> (Frame, Option<ExcludeReason>, Option<Gitignore>) {
        let frame = Frame {
            path_length,
            names: Arc::new(listing.names),
            directory: Some(Arc::new(listing.directory)),
            identity: None,
            next: 0,
            page: listing.page,
            page_start: 0,
            coming_pages: VecDeque::new(),
            coming_listings: VecDeque::new(),
            searched: 0,
        };
        (frame, listing.marker, listing.gitignore)
    }

    /// Closes the directory and drops what was read ahead for it.
    pub(super) fn rest(&mut self) {
        if let Some(directory) = self.directory.take() {
            self.identity = Identity::of(&directory).ok();
        }
        self.coming_pages.clear();
        self.drop_ahead();
    }

    /// Drops the subdirectories listed ahead, and with them their handles.
    pub(super) fn drop_ahead(&mut self) {
        self.coming_listings.clear();
        self.searched = self.next;
    }

    /// Passes over the rest of the directory.
    pub(super) fn give_up(&mut self) {
        self.next = self.names.len();
    }

    /// Returns the next entry's place, and goes beyond it.
    pub(super) fn next_place(&mut self) -> Option<usize> {
        let place = self.next;
        (place < self.names.len()).then(|| {
            self.next = place.saturating_add(1);
            place
        })
    }

    /// Makes the page that holds the entry at `place` the current one, if it is the one after;
    /// returns whether it was.
    pub(super) fn turn_page(&mut self, place: usize) -> bool {
        if place < self.page_start.saturating_add(self.page.len()) {
            return false;
        }
        let ahead = self.coming_pages.pop_front().and_then(|ahead| ahead.take().ok());
        self.page_start = place;
        self.page = match (ahead, &self.directory) {
            (Some(page), _) => page,
            (None, Some(directory)) => look_at(directory, &self.names, place),
            (None, None) => Page::new(),
        };
        self.searched = self.searched.max(place);
        true
    }

    /// Returns the metadata of the entry at `place` of the current page.
    pub(super) fn stat(&self, place: usize) -> Result<Stat, Errno> {
        let found = place.checked_sub(self.page_start).and_then(|offset| self.page.get(offset));
        found.copied().unwrap_or(Err(Errno::STALE))
    }

    /// Returns the listing of the subdirectory at `place`, read ahead or now.
    pub(super) fn take_listing(
        &mut self,
        place: usize,
        excludes: &Excludes,
    ) -> Result<ListResult, Panicked> {
        self.searched = self.searched.max(self.next);
        while let Some((other, ahead)) =
            self.coming_listings.pop_front_if(|(other, _)| *other <= place)
        {
            if other == place {
                return ahead.take();
            }
        }
        let directory = self.directory.as_ref().ok_or(Errno::STALE);
        Ok(directory
            .and_then(|directory| open_and_list(directory, self.names.c_str(place), excludes)))
    }

    /// Has threads look at the next pages, and list the next subdirectories that are `wanted`.
    pub(super) fn look_ahead(
        &mut self,
        pool: &Pool,
        depth: usize,
        excludes: &Arc<Excludes>,
        wanted: impl Fn(&[u8], &Stat) -> bool,
    ) {
        let Some(directory) = self.directory.clone() else { return };
        while let Some(place) = self.next_page() {
            let (directory, names) = (Arc::clone(&directory), Arc::clone(&self.names));
            let urgency = Urgency { depth, place: Reverse(place) };
            self.coming_pages.push_back(pool.submit(urgency, move || {
                let page = look_at(&directory, &names, place);
                let weight = page.len();
                (page, weight)
            }));
        }
        while let Some(place) = self.next_subdirectory(&wanted) {
            let (directory, names) = (Arc::clone(&directory), Arc::clone(&self.names));
            let excludes = Arc::clone(excludes);
            let urgency = Urgency { depth, place: Reverse(place) };
            let ahead = pool.submit(urgency, move || {
                let listing = open_and_list(&directory, names.c_str(place), &excludes);
                let weight = listing.as_ref().map_or(0, |listing| listing.names.len());
                (listing, weight)
            });
            self.coming_listings.push_back((place, ahead));
        }
    }

    /// Returns where the next page begins that is wanted and not yet coming.
    fn next_page(&self) -> Option<usize> {
        let pages = self.coming_pages.len();
        let place = self.page_start.saturating_add(PAGE.saturating_mul(pages.saturating_add(1)));
        (pages < COMING_PAGES && place < self.names.len()).then_some(place)
    }

    /// Finds the next subdirectory of the current page that is wanted and not yet coming.
    fn next_subdirectory(&mut self, wanted: impl Fn(&[u8], &Stat) -> bool) -> Option<usize> {
        while self.coming_listings.len() < COMING_LISTINGS {
            let place = self.searched;
            let stat = *self.page.get(place.checked_sub(self.page_start)?)?;
            self.searched = place.saturating_add(1);
            if stat.is_ok_and(|stat| wanted(self.names.get(place), &stat)) {
                return Some(place);
            }
        }
        None
    }
}

fn open_and_list(parent: &OwnedFd, name: &CStr, excludes: &Excludes) -> ListResult {
    list(open_directory(parent, name)?, excludes)
}

/// Lists an open directory, and looks at its first entries.
pub(super) fn list(directory: OwnedFd, excludes: &Excludes) -> ListResult {
    let mut names = Names::read(directory.as_fd())?;
    let marker = excludes.find_marker(&directory, &names);
    if let Some((place, _)) = marker {
        names.keep_only(place);
    }
    let gitignore = excludes.read_gitignore(&directory, &names);
    let page = look_at(&directory, &names, 0);
    Ok(Listing { directory, names, page, marker: marker.map(|(_, reason)| reason), gitignore })
}

/// Returns the metadata of up to [`PAGE`] entries.
fn look_at(directory: &OwnedFd, names: &Names, start: usize) -> Page {
    let end = start.saturating_add(PAGE).min(names.len());
    (start..end).map(|place| stat_at(directory, names.c_str(place))).collect()
}
