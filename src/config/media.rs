//! `media.*`: where uploaded files are kept, and how they reach who may read them.

use super::origin::Origin;
use super::url::MediaUrl;

/// `media.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaConfig {
    /// `media.url`: the folder, or the bucket. Credentials of a bucket are `AWS_*` variables.
    pub url: MediaUrl,
    /// `media.endpoint`: where the S3 server is; `None` is Amazon's.
    pub endpoint: Option<Origin>,
    /// `media.public_endpoint`: where clients reach it, if that is elsewhere. Only redirects lead there.
    pub public_endpoint: Option<Origin>,
    /// `media.region`: the bucket's; `None` is what `AWS_REGION` says, or `us-east-1`.
    pub region: Option<String>,
    /// `media.addressing`: where a request names the bucket.
    pub addressing: Addressing,
    /// `media.serve`: who hands out the bytes.
    pub serve: MediaServe,
}

/// `media.addressing`: where a request names its bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// In the path, which every S3 server understands: `https://host/bucket/key`.
    Path,
    /// In the host's name: `https://bucket.host/key`.
    Host,
}

/// `media.serve`: who hands out the bytes of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaServe {
    /// The node, which checks each request.
    Node,
    /// The bucket, by links that live a minute, for what browsers show in place; all else the node.
    Redirect,
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self {
            url: MediaUrl::Folder { path: None },
            endpoint: None,
            public_endpoint: None,
            region: None,
            addressing: Addressing::Path,
            serve: MediaServe::Node,
        }
    }
}

impl MediaConfig {
    /// The origin to which natter's requests go, for a bucket of `region` if nothing else is set.
    pub fn origin(&self, region: &str) -> String {
        self.origin_at(self.endpoint.as_ref(), region)
    }

    /// The origin at which clients reach the bucket.
    pub fn public_origin(&self, region: &str) -> String {
        self.origin_at(self.public_endpoint.as_ref().or(self.endpoint.as_ref()), region)
    }

    /// The origin to which browsers are sent for files, if any: a page's policy has to allow it.
    pub fn redirects_to(&self) -> Option<String> {
        let region = self.region.as_deref().unwrap_or_default();
        (self.serve == MediaServe::Redirect).then(|| self.public_origin(region))
    }

    fn origin_at(&self, endpoint: Option<&Origin>, region: &str) -> String {
        let amazon = || format!("https://s3.{region}.amazonaws.com");
        let server = endpoint.map_or_else(amazon, ToString::to_string);
        match (&self.url, self.addressing) {
            (MediaUrl::S3(bucket), Addressing::Host) => {
                server.replacen("://", &format!("://{}.", bucket.name()), 1)
            }
            _ => server,
        }
    }

    /// Settings of a bucket do not go with a folder, and a page has to know where redirects lead.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if matches!(self.url, MediaUrl::Folder { .. }) {
            let set = [
                ("media.endpoint", self.endpoint.is_some()),
                ("media.public_endpoint", self.public_endpoint.is_some()),
                ("media.region", self.region.is_some()),
                ("media.serve", self.serve == MediaServe::Redirect),
            ];
            if let Some((key, _)) = set.into_iter().find(|(_, is_set)| *is_set) {
                return Err((key, "belongs to a bucket: set media.url to s3://bucket".to_owned()));
            }
        }
        let has_place = self.endpoint.is_some() || self.region.is_some();
        if self.serve == MediaServe::Redirect && !has_place && self.public_endpoint.is_none() {
            let why = "redirect needs media.region or media.endpoint, for pages have to allow it";
            return Err(("media.serve", why.to_owned()));
        }
        Ok(())
    }

    pub(super) fn addressing(text: &str) -> Result<Addressing, String> {
        match text.trim() {
            "path" => Ok(Addressing::Path),
            "host" => Ok(Addressing::Host),
            other => Err(format!("{other:?} is neither path nor host")),
        }
    }

    pub(super) fn serve(text: &str) -> Result<MediaServe, String> {
        match text.trim() {
            "node" => Ok(MediaServe::Node),
            "redirect" => Ok(MediaServe::Redirect),
            other => Err(format!("{other:?} is neither node nor redirect")),
        }
    }

    pub(super) fn region(text: &str) -> Result<Option<String>, String> {
        let region = text.trim();
        if region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
            return Ok((!region.is_empty()).then(|| region.to_owned()));
        }
        Err(format!("{text:?} is no region such as eu-central-1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str, change: impl FnOnce(&mut MediaConfig)) -> MediaConfig {
        let url = MediaUrl::parse(url).unwrap();
        let mut config = MediaConfig { url, ..MediaConfig::default() };
        change(&mut config);
        config
    }

    fn at(origin: &str) -> Option<Origin> {
        Some(Origin::parse(origin).unwrap())
    }

    #[test]
    fn requests_go_where_the_settings_say() {
        let amazon = of("s3://chat", |_| ());
        assert_eq!(amazon.origin("eu-west-1"), "https://s3.eu-west-1.amazonaws.com");
        assert_eq!(amazon.redirects_to(), None);
        let own = of("s3://chat", |c| {
            c.endpoint = at("http://minio:9000");
            c.public_endpoint = at("https://files.example.com");
            c.serve = MediaServe::Redirect;
        });
        assert_eq!(own.origin("x"), "http://minio:9000");
        assert_eq!(own.redirects_to().as_deref(), Some("https://files.example.com"));
        let by_host = MediaConfig { addressing: Addressing::Host, ..own };
        assert_eq!(by_host.origin("x"), "http://chat.minio:9000");
        assert_eq!(by_host.redirects_to().as_deref(), Some("https://chat.files.example.com"));
    }

    #[test]
    fn settings_of_a_bucket_need_one() {
        let endpoint = |c: &mut MediaConfig| c.endpoint = at("http://minio:9000");
        let redirect = |c: &mut MediaConfig| c.serve = MediaServe::Redirect;
        assert_eq!(of("file:", |_| ()).check(), Ok(()));
        assert_eq!(of("file:", endpoint).check().unwrap_err().0, "media.endpoint");
        assert_eq!(of("file:", redirect).check().unwrap_err().0, "media.serve");
        assert_eq!(of("s3://chat", redirect).check().unwrap_err().0, "media.serve");
        assert_eq!(of("s3://chat", endpoint).check(), Ok(()));
        let region = |c: &mut MediaConfig| {
            c.region = MediaConfig::region("eu-west-1").unwrap();
            c.serve = MediaServe::Redirect;
        };
        assert_eq!(of("s3://chat", region).check(), Ok(()));
    }
}
