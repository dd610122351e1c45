//! Addresses with the number of a caller in them.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

const ADDRESS_BYTES_MAX: usize = 1_000;
const NUMBER: &str = "{number}";
const SITE: &str = "{site}";
const WRONG: &str = "it must begin with https:// or http://, hold {number}, and may hold {site}";
const HAS_PASSWORD: &str =
    "it holds a user and a password, which would be shown with it: remove them";

/// An address in another program, such as `https://crm.example.com/find?phone={number}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressTemplate(String);

impl AddressTemplate {
    /// Reads a template. Its host is fixed: no number and no site decides where a request goes.
    ///
    /// # Errors
    /// Why it is none, for the person who wrote the setting.
    pub fn parse(text: &str) -> Result<AddressTemplate, &'static str> {
        let Some((_, rest)) = text
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
        else {
            return Err(WRONG);
        };
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.contains('@') {
            return Err(HAS_PASSWORD);
        }
        let without_values = text.replace(NUMBER, "").replace(SITE, "");
        let is_right = text.len() <= ADDRESS_BYTES_MAX
            && !host.is_empty()
            && !host.contains('{')
            && text.contains(NUMBER)
            && without_values.bytes().all(|byte| byte.is_ascii_graphic())
            && !without_values.contains(['{', '}', '\\', '"', '<', '>']);

        if is_right {
            Ok(AddressTemplate(text.to_owned()))
        } else {
            Err(WRONG)
        }
    }

    /// The address for a number of a site.
    #[must_use]
    pub fn fill(&self, site: &str, number: &str) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();

        self.0
            .replace(NUMBER, &encoded(number))
            .replace(SITE, &encoded(site))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_into_the_address() {
        let template = "https://crm.example.com/{site}/find?phone={number}";
        let template = AddressTemplate::parse(template).unwrap();

        assert_eq!(
            template.fill("köln/1", "+4930&x={site}"),
            "https://crm.example.com/k%C3%B6ln%2F1/find?phone=%2B4930%26x%3D%7Bsite%7D"
        );
    }

    #[test]
    fn a_template_with_another_form_is_refused() {
        for text in [
            "",
            "javascript:alert({number})",
            "https://{number}.example.com/",
            "https:///{number}",
            "https://crm.example.com/",
            "https://crm.example.com/{number}/{name}",
            "https://crm.example.com/{number} x",
            "crm.example.com/{number}",
        ] {
            assert_eq!(AddressTemplate::parse(text), Err(WRONG), "{text}");
        }
    }

    #[test]
    fn a_template_with_a_password_is_refused() {
        let template = "https://cordboard:pass@crm.example.com/{number}";

        assert_eq!(AddressTemplate::parse(template), Err(HAS_PASSWORD));
    }
}
