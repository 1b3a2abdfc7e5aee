//! The price of a call: pure functions of the price list, the day, and the result.

use std::cell::LazyCell;
use std::time::Duration;

use doorward_mcp::{Object, Value};
use doorward_store::Amount;
use jiff::civil::Date;

use doorward_config::{BillingSettings, PriceSettings};

/// The applicable price of a tool, as `server/tool`, on a day.
pub fn price_of<'a>(
    settings: &'a BillingSettings,
    tool: &str,
    today: impl FnOnce() -> Date,
) -> Option<&'a PriceSettings> {
    // Computed lazily: most prices have no dates.
    let today = LazyCell::new(today);
    let fitting = settings.prices.values().filter(|price| {
        price.tools.matches(tool) && price.begins().is_none_or(|from| from <= *today)
    });
    fitting.max_by_key(|price| (price.tools.0.len(), price.begins()))
}

/// The amount to reserve before the actual cost is known.
pub fn estimate(price: &PriceSettings) -> Amount {
    let unit = price.unit.as_ref().map_or(Amount::ZERO, |unit| unit.price);
    price.reserve.unwrap_or_else(|| price.call.unwrap_or_default().plus(unit))
}

/// The actual cost of a call.
pub fn cost(price: &PriceSettings, result: &Object, took: Duration) -> Amount {
    let mut all = price.call.unwrap_or_default();
    if let Some(unit) = &price.unit {
        all = all.plus(unit.price.times(units(result, &unit.field), 1));
    }
    if let Some(second) = price.second {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        all = all.plus(second.times(micros, 1_000_000));
    }
    if let Some(kb) = price.kb {
        all = all.plus(kb.times(result.size_hint() as u64, 1_024));
    }
    all
}

/// The number in a result, or the length of the list; 0 if absent.
fn units(result: &Object, field: &str) -> u64 {
    let mut names = field.split('.');
    let Some(first) = names.next() else { return 0 };
    let mut value: Option<Value> = result.get(first).cloned();
    for name in names {
        value = value.and_then(|value| value.as_object()?.get(name).cloned());
    }
    let Some(value) = value else { return 0 };
    if let Some(items) = value.as_array() {
        return items.len() as u64;
    }
    let text = value.to_bytes();
    let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse::<f64>().ok());
    // Rounded up; not a number or negative counts as 0.
    number.filter(|number| *number > 0.0).map_or(0, |number| number.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_config::UnitPrice;

    fn price(tools: &str, from: Option<&str>, call: &str) -> PriceSettings {
        PriceSettings {
            tools: doorward_core::pattern::Pattern(tools.into()),
            from: from.map(Into::into),
            call: Some(call.parse().unwrap()),
            ..PriceSettings::default()
        }
    }

    #[test]
    fn the_nearest_price_in_effect_holds() {
        let settings = BillingSettings {
            prices: [
                ("all".to_owned(), price("*", None, "1")),
                ("search".to_owned(), price("search/*", None, "2")),
                ("later".to_owned(), price("search/*", Some("2026-07-01"), "3")),
                ("future".to_owned(), price("search/*", Some("2027-01-01"), "4")),
            ]
            .into(),
            ..BillingSettings::default()
        };
        let on = |tool: &str, day: &str| {
            price_of(&settings, tool, || day.parse().unwrap()).unwrap().call.unwrap().to_string()
        };
        assert_eq!(on("mail/send", "2026-11-21"), "1");
        assert_eq!(on("search/web", "2026-06-30"), "2");
        assert_eq!(on("search/web", "2026-07-01"), "3");
    }

    #[test]
    fn units_seconds_and_bytes_add_up() {
        let result =
            |text: &str| Object::parse(&bytes::Bytes::copy_from_slice(text.as_bytes())).unwrap();
        let unit = |field: &str| PriceSettings {
            unit: Some(UnitPrice { field: field.into(), price: "0.5".parse().unwrap() }),
            ..PriceSettings::default()
        };
        let rows = result(
            r#"{"structuredContent":{"rows":3,"list":[1,{"a":2}],"part":0.1,"text":"x","less":-3}}"#,
        );
        for (field, expected) in [
            ("rows", "1.5"),
            ("list", "1"),
            ("part", "0.5"),
            ("text", "0"),
            ("less", "0"),
            ("none", "0"),
        ] {
            let field = format!("structuredContent.{field}");
            assert_eq!(cost(&unit(&field), &rows, Duration::ZERO).to_string(), expected, "{field}");
        }
        let timed =
            PriceSettings { second: Some("2".parse().unwrap()), ..PriceSettings::default() };
        assert_eq!(cost(&timed, &rows, Duration::from_millis(250)).to_string(), "0.5");
        let sized = PriceSettings { kb: Some("1024".parse().unwrap()), ..PriceSettings::default() };
        assert_eq!(cost(&sized, &result("{}"), Duration::ZERO).to_string(), "2");
    }
}
