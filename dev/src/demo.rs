//! Demo data: the same on every machine and in every run.

use base64::{Engine, prelude::BASE64_STANDARD};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use orders::{Line, Order, Status};
use photos::Photo;
use products::Product;
use serde_dynamo::aws_sdk_dynamodb_1::to_item;
use shared::{
    Id,
    delta::{Item, initial_items},
    values::{Address, Money},
};
use thumbnails_core::Cancel;
use users::{Metadata, Preferences, User};

use crate::{app, database::Database, settings, tables};

/// How many users there are: `user-1` to `user-200`.
pub const USERS: u16 = 200;
/// How many products there are: `p-0001` to `p-1000`.
pub const PRODUCTS: u16 = 1000;
/// How many orders each user has: `o-<user>-01` to `o-<user>-25`.
pub const ORDERS_PER_USER: u16 = 25;
/// The user whose record is the verbose one of the documentation.
pub const VERBOSE_USER: &str = "user-123";

/// The epoch of the demo data in tests, so that tokens can be written down.
pub const TEST_EPOCH: &str = "demo";

const CATEGORIES: [(&str, [&str; 4]); 12] = [
    ("audio", ["Headphones", "Speaker", "Turntable", "Microphone"]),
    ("books", ["Novel", "Atlas", "Cookbook", "Field Guide"]),
    ("camping", ["Tent", "Stove", "Lantern", "Sleeping Bag"]),
    ("cycling", ["Helmet", "Pump", "Saddle", "Bike Lock"]),
    ("garden", ["Trowel", "Planter", "Hose", "Bird Feeder"]),
    ("kitchen", ["Kettle", "Skillet", "Knife", "Coffee Grinder"]),
    ("lighting", ["Desk Lamp", "Floor Lamp", "Night Light", "String Lights"]),
    ("office", ["Notebook", "Stapler", "Chair Mat", "Pen Set"]),
    ("photo", ["Tripod", "Lens Cap", "Camera Bag", "Light Meter"]),
    ("sports", ["Yoga Mat", "Jump Rope", "Kettlebell", "Water Bottle"]),
    ("toys", ["Puzzle", "Kite", "Building Set", "Yo-Yo"]),
    ("travel", ["Suitcase", "Neck Pillow", "Plug Adapter", "Packing Cubes"]),
];
const ADJECTIVES: [&str; 10] =
    ["Alpine", "Classic", "Compact", "Everyday", "Folding", "Nordic", "Quiet", "Solid", "Travel", "Urban"];
const BRANDS: [&str; 6] = ["Fjell & Co", "Kestrel", "Lumen Works", "Northbound", "Oak Street", "Tidewater"];
const FIRST_NAMES: [&str; 10] = ["Ana", "Ben", "Chen", "Dana", "Emeka", "Fatima", "Goran", "Hana", "Ines", "Jonas"];
const LAST_NAMES: [&str; 10] =
    ["Abe", "Brandt", "Costa", "Diaz", "Eriksen", "Fischer", "Garcia", "Haddad", "Ito", "Jensen"];
const PLACES: [(&str, &str, &str, &str); 5] = [
    ("San Francisco", "CA", "en", "America/Los_Angeles"),
    ("Austin", "TX", "en", "America/Chicago"),
    ("Berlin", "BE", "de", "Europe/Berlin"),
    ("Lisbon", "LX", "pt", "Europe/Lisbon"),
    ("Osaka", "OS", "ja", "Asia/Tokyo"),
];

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Creates the tables of a database and loads the demo data, each unless it is there already. A new database needs an
/// epoch of its own: to a client with tokens of another one it is another log.
///
/// # Errors
/// When the store refuses.
pub async fn prepare(database: &Database, epoch: &str) -> Result<(), Failure> {
    tables::create(&app::on(&database.endpoint())?.aws.dynamodb).await?;
    for (table, items) in items(epoch)? {
        if database.is_empty(table)? {
            database.import(table, items)?;
        }
    }
    Ok(())
}

/// Everything, by the table that it belongs to.
///
/// # Errors
/// Never in practice: all of it is made here.
pub fn items(epoch: &str) -> Result<Vec<(&'static str, Vec<Item>)>, Failure> {
    // Long enough ago that a first sync need not replay it.
    let made = Timestamp::now() - SignedDuration::from_mins(2);
    let users = (1..=USERS).map(|n| Ok(to_item(user(n)?)?)).collect::<Result<_, Failure>>()?;
    let catalogue = catalogue()?;

    let mut orders = Vec::new();
    for n in 1..=USERS {
        let scope = orders::scope_of(&format!("user-{n}").parse()?);
        let owned = (1..=ORDERS_PER_USER).map(|k| Ok((format!("o-{n}-{k:02}").parse()?, order(n, k, &catalogue))));
        let owned = owned.collect::<Result<Vec<(Id, Order)>, Failure>>()?;
        orders.extend(initial_items(&scope, owned, epoch, made).map_err(|error| error.message().to_owned())?);
    }
    let products =
        initial_items(products::SCOPE, catalogue, epoch, made).map_err(|error| error.message().to_owned())?;
    Ok(vec![
        (settings::value("USERS_TABLE"), users),
        (settings::value("PRODUCTS_TABLE"), products),
        (settings::value("ORDERS_TABLE"), orders),
    ])
}

/// The n-th user.
///
/// # Errors
/// Never in practice: the embedded record of the documentation parses.
pub fn user(n: u16) -> Result<User, Failure> {
    let id = format!("user-{n}");
    if id == VERBOSE_USER {
        return Ok(serde_json::from_str(include_str!("../../functions/users/tests/verbose-user.json"))?);
    }
    let mut rng = Rng::with_seed(u64::from(n));
    let (first, last) = (choose(&mut rng, &FIRST_NAMES), choose(&mut rng, &LAST_NAMES));
    let (city, state, language, timezone) = choose(&mut rng, &PLACES);
    let created = before(rng.i64(200..900));
    let handle = format!("{}{}{n}", first.to_lowercase(), last.to_lowercase());
    Ok(User {
        id: id.parse()?,
        version: 1,
        email: format!("{handle}@example.com"),
        username: handle,
        first_name: first.to_owned(),
        last_name: last.to_owned(),
        phone_number: Some(format!("+1-555-{n:04}")),
        date_of_birth: Some(format!("{}-{:02}-{:02}", rng.u16(1955..2006), rng.u8(1..13), rng.u8(1..29))),
        avatar: Some(format!("avatars/{id}.jpg")),
        address: Some(address(&mut rng, city, state)),
        preferences: Preferences {
            language: language.to_owned(),
            timezone: timezone.to_owned(),
            notifications_enabled: rng.bool(),
            marketing_emails_enabled: rng.bool(),
        },
        metadata: Metadata {
            last_login_at: Some(before(rng.i64(0..30))),
            created_at: created,
            updated_at: before(rng.i64(0..200)),
        },
    })
}

fn address(rng: &mut Rng, city: &str, state: &str) -> Address {
    Address {
        street: format!("{} Main St", rng.u16(1..1000)),
        city: city.to_owned(),
        state: Some(state.to_owned()),
        zip_code: format!("{:05}", rng.u32(10_000..99_999)),
        country: "USA".to_owned(),
    }
}

/// All products.
///
/// # Errors
/// Never in practice: the ids are legal.
pub fn catalogue() -> Result<Vec<(Id, Product)>, Failure> {
    (1..=PRODUCTS).map(|n| Ok((format!("p-{n:04}").parse()?, product(n)))).collect()
}

/// The n-th product.
pub fn product(n: u16) -> Product {
    let mut rng = Rng::with_seed(1_000_000 + u64::from(n));
    let (category, kinds) = &CATEGORIES[usize::from(n) % CATEGORIES.len()];
    let (adjective, kind) = (choose(&mut rng, &ADJECTIVES), choose(&mut rng, kinds));
    let brand = choose(&mut rng, &BRANDS);
    let name = format!("{adjective} {kind}");
    let image = format!("products/p-{n:04}.jpg");
    Product {
        description: format!(
            "The {name} by {brand} is made to last: tested for years, repairable with common tools, and shipped \
             without plastic. Fits every {category} shelf and comes with a two-year guarantee."
        ),
        name,
        category: (*category).to_owned(),
        price: Money { amount: rng.i64(5..400) * 100 - 1, currency: "USD".to_owned() },
        placeholder: placeholder(&image),
        image,
        brand: brand.to_owned(),
        sku: format!("{}-{n:05}", category[..3].to_uppercase()),
        stock: if n.is_multiple_of(17) { 0 } else { rng.u32(1..500) },
        weight_grams: rng.u32(50..8000),
        rating_tenths: (!n.is_multiple_of(11)).then(|| rng.u8(20..51)),
        tags: vec![(*category).to_owned(), kind.to_lowercase(), brand.to_lowercase()],
        featured: n % 100 == 1,
        created_at: before(rng.i64(100..700)),
        updated_at: before(rng.i64(0..100)),
    }
}

/// Of a small copy of the photo, which has the same one.
fn placeholder(key: &str) -> Option<String> {
    let hash = thumbnails_core::placeholder(&Photo::of(key).jpeg(32, 24), &Cancel::never()).ok()?;
    Some(BASE64_STANDARD.encode(hash))
}

fn order(user: u16, k: u16, catalogue: &[(Id, Product)]) -> Order {
    let mut rng = Rng::with_seed(2_000_000 + u64::from(user) * 1000 + u64::from(k));
    let count = rng.usize(1..5);
    let first = rng.usize(0..catalogue.len());
    // A stride that is coprime to the number of products: no product comes twice.
    let line = |i: usize, rng: &mut Rng| {
        let (id, product) = &catalogue[(first + i * 7) % catalogue.len()];
        Line {
            product_id: id.clone(),
            name: product.name.clone(),
            quantity: rng.u32(1..5),
            unit_price: product.price.clone(),
        }
    };
    let items: Vec<Line> = (0..count).map(|i| line(i, &mut rng)).collect();
    let amount = items.iter().map(|line| line.unit_price.amount * i64::from(line.quantity)).sum();
    let (city, state, ..) = choose(&mut rng, &PLACES);
    let created = rng.i64(0..365);
    Order {
        items,
        status: choose(&mut rng, &[Status::Pending, Status::Confirmed, Status::Shipped, Status::Delivered]),
        total: Money { amount, currency: "USD".to_owned() },
        note: k.is_multiple_of(3).then(|| "Please ring twice.".to_owned()),
        shipping_address: Some(address(&mut rng, city, state)),
        created_at: before(created),
        updated_at: before(rng.i64(0..=created)),
    }
}

fn choose<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(0..from.len())]
}

/// So many days before the day that all demo data was made on.
fn before(days: i64) -> Timestamp {
    let day: Timestamp = "2025-11-03T10:30:00Z".parse().unwrap_or(Timestamp::UNIX_EPOCH);
    day - SignedDuration::from_hours(24 * days)
}
