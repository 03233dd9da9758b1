"""Who writes the sample's invoices, and what they sell. All of it is invented."""

from __future__ import annotations

from decimal import Decimal

from include.stack.sample_invoices.invoice import Vendor

#: Who gets the invoices, in each country.
CUSTOMERS = {
    "en": ("Harbour & Pine Trading Ltd", "14 Quayside, Bristol BS1 6TR"),
    "us": ("Harbour & Pine Trading Inc.", "220 Commerce Street, Portland, ME 04101"),
    "de": ("Harbour & Pine Handels GmbH", "Speicherstraße 8, 20457 Hamburg"),
    "fr": ("Harbour & Pine France SARL", "31 quai Perrache, 69002 Lyon"),
    "ch": ("Harbour & Pine (Schweiz) AG", "Hafenstrasse 25, 4057 Basel"),
}

_ENGLISH_TERMS = (
    ("30 days net", 30),
    ("14 days from invoice date, 2% discount if paid within 7 days", 14),
    ("Payable on receipt, by bank transfer", None),
    ("60 days net, interest of 8% a year after that", 60),
)
_GERMAN_TERMS = (
    ("30 Tage netto", 30),
    ("14 Tage netto, bei Zahlung innerhalb von 7 Tagen 3 % Skonto", 14),
    ("Zahlbar sofort ohne Abzug", None),
    ("21 Tage ab Rechnungsdatum, ohne Abzug", 21),
)
_FRENCH_TERMS = (
    ("Paiement à 30 jours par virement", 30),
    ("Paiement à 45 jours date de facture, escompte 1 % sous 8 jours", 45),
    ("Payable à réception de la facture", None),
    ("Paiement à 60 jours nets", 60),
)

_BRITISH = (
    (
        "Calder Valley Office Supplies Ltd",
        ("Unit 7, Mill Lane", "Halifax HX1 5QN"),
        "INV-2026-{:05}",
        (
            ("Copier paper A4, 80 g, box of 5 reams", "24.90"),
            ("Lever arch file, blue", "2.15"),
            ("Desk lamp, LED", "38.50"),
            ("Whiteboard 120 x 90 cm", "74.00"),
            ("Toner cartridge, black", "61.20"),
            ("Height-adjustable desk", "412.00"),
            ("Delivery and assembly", "45.00"),
        ),
    ),
    (
        "Thistle & Rowe Catering",
        ("3 Canon Street", "Bath BA1 2LT"),
        "TR/{:04}/26",
        (
            ("Working lunch, per person", "16.50"),
            ("Vegetarian buffet, per person", "21.75"),
            ("Coffee and pastries, per person", "6.40"),
            ("Waiting staff, hour", "28.00"),
            ("Hire of glasses and linen", "85.00"),
        ),
    ),
    (
        "Northgate Freight Forwarding plc",
        ("Dock Road 201", "Liverpool L3 9BR"),
        "NG{:07}",
        (
            ("Sea freight, 20 ft container, Rotterdam to Bristol", "1480.00"),
            ("Customs clearance, entry", "95.00"),
            ("Storage, pallet and week", "11.25"),
            ("Forklift handling, pallet", "7.80"),
            ("Fuel surcharge", "132.40"),
        ),
    ),
    (
        "Alder Web Studio",
        ("Flat 2, 90 Gloucester Road", "Bristol BS7 8BN"),
        "2026-{:03}",
        (
            ("Design of product pages, day", "480.00"),
            ("Accessibility review", "650.00"),
            ("Hosting, month", "39.00"),
            ("Support, hour", "72.50"),
        ),
    ),
)
_AMERICAN = (
    (
        "Casco Bay Fastener Co.",
        ("1900 Industrial Way", "Biddeford, ME 04005"),
        "{:06}",
        (
            ("Hex bolt M10 x 60, zinc, box of 100", "41.30"),
            ("Anchor plate, galvanized", "12.85"),
            ("Stainless washer, bag of 500", "27.60"),
            ("Rush order fee", "55.00"),
        ),
    ),
    (
        "Pemaquid Legal Group LLP",
        ("77 State Street, Suite 410", "Augusta, ME 04330"),
        "PLG-{:05}",
        (
            ("Contract review, partner, hour", "425.00"),
            ("Research, associate, hour", "260.00"),
            ("Filing fee, advanced", "175.00"),
        ),
    ),
)
_GERMAN = (
    (
        "Schröder Bürotechnik GmbH",
        ("Gießener Straße 44", "35390 Gießen"),
        "RE-26-{:05}",
        (
            ("Drehstuhl, ergonomisch, schwarz", "289,00"),
            ("Aktenschrank, vier Fächer", "345,50"),
            ("Monitorarm für zwei Bildschirme", "118,90"),
            ("Kopierpapier A4, Karton mit 2.500 Blatt", "23,45"),
            ("Montage vor Ort, Stunde", "64,00"),
        ),
    ),
    (
        "Elektro Weißenfels & Söhne KG",
        ("Am Kanal 12", "06667 Weißenfels"),
        "{:04}/2026",
        (
            ("Kabelkanal verlegen, Meter", "14,80"),
            ("Steckdose, Unterputz, einschließlich Einbau", "38,25"),
            ("Prüfung ortsfester Anlagen nach DGUV V3", "420,00"),
            ("Anfahrt, Pauschale", "49,00"),
            ("Meister, Stunde", "72,00"),
            ("Geselle, Stunde", "58,50"),
        ),
    ),
    (
        "Hanseatische Druckerei Petersen",
        ("Fischmarkt 3", "22767 Hamburg"),
        "P{:06}",
        (
            ("Katalog, 48 Seiten, Auflage 1.000", "1840,00"),
            ("Visitenkarten, 500 Stück", "62,00"),
            ("Faltblatt DIN lang, 5.000 Stück", "395,00"),
            ("Druckdaten prüfen", "35,00"),
        ),
    ),
    (
        "Brömmel Gebäudereinigung",
        ("Lindenallee 101", "45127 Essen"),
        "2026{:05}",
        (
            ("Unterhaltsreinigung Büro, Monat", "780,00"),
            ("Glasreinigung, Quadratmeter", "2,35"),
            ("Winterdienst, Einsatz", "65,00"),
            ("Verbrauchsmaterial", "48,70"),
        ),
    ),
)
_FRENCH = (
    (
        "Menuiserie Lefèvre et Fils",
        ("8 rue des Tanneurs", "59000 Lille"),
        "F2026-{:04}",
        (
            ("Étagère en chêne, sur mesure", "640,00"),
            ("Pose et finition, heure", "52,00"),
            ("Comptoir d'accueil, hêtre massif", "1275,00"),
            ("Vernis, bidon de 5 l", "88,40"),
        ),
    ),
    (
        "Traiteur Chez Amélie",
        ("19 place Bellecour", "69002 Lyon"),
        "FA{:06}",
        (
            ("Déjeuner d'affaires, par personne", "32,50"),
            ("Cocktail dînatoire, par personne", "41,00"),
            ("Serveur, heure", "29,90"),
            ("Location de vaisselle", "120,00"),
        ),
    ),
    (
        "Imprimerie du Vieux Port",
        ("2 quai du Port", "13002 Marseille"),
        "{:05}-26",
        (
            ("Brochure 16 pages, 2 000 exemplaires", "1120,00"),
            ("Affiche 60 x 80 cm, 50 exemplaires", "187,50"),
            ("Étiquettes adhésives, rouleau de 1 000", "46,20"),
            ("Mise en page, heure", "58,00"),
        ),
    ),
)


def _vendors(
    rows: tuple[tuple[str, tuple[str, str], str, tuple[tuple[str, str], ...]], ...],
    language: str,
    currency: str,
    tax_percent: str,
    terms: tuple[tuple[str, int | None], ...],
) -> tuple[Vendor, ...]:
    return tuple(
        Vendor(
            name=name,
            place=place,
            language=language,
            currency=currency,
            tax_percent=Decimal(tax_percent),
            number=number,
            goods=tuple((article, price.replace(",", ".")) for article, price in goods),
            terms=terms,
        )
        for name, place, number, goods in rows
    )


BRITISH = _vendors(_BRITISH, "en", "GBP", "20", _ENGLISH_TERMS)
AMERICAN = _vendors(_AMERICAN, "us", "USD", "5.5", _ENGLISH_TERMS)
GERMAN = _vendors(_GERMAN, "de", "EUR", "19", _GERMAN_TERMS)
FRENCH = _vendors(_FRENCH, "fr", "EUR", "20", _FRENCH_TERMS)
(SWISS,) = _vendors(
    (
        (
            "Rheintor Übersetzungen / Traductions AG",
            ("Bahnhofplatz 4", "2502 Biel/Bienne"),
            "RT-{:05}",
            (
                ("Übersetzung DE-FR / Traduction DE-FR / Translation DE-FR, 1'000 Wörter", "310.00"),
                ("Korrektorat / Relecture / Proofreading, h", "96.00"),
                ("Expresszuschlag / Supplément express / Rush fee", "150.00"),
            ),
        ),
    ),
    "ch",
    "CHF",
    "8.1",
    (("30 Tage netto / 30 jours net / 30 days net", 30),),
)
(TELEPHONE,) = _vendors(
    (
        (
            "Severn Telecom Business",
            ("Telephone House, Temple Way", "Bristol BS1 6NL"),
            "ST-{:08}",
            (
                ("Line rental, 24 lines, November", "15.00"),
                ("Calls to mobiles, see itemised list", "312.48"),
                ("Calls abroad, see itemised list", "127.95"),
                ("Broadband, leased line", "480.00"),
            ),
        ),
    ),
    "en",
    "GBP",
    "20",
    (("Collected by direct debit 14 days after the invoice date", 14),),
)
ALL = (*BRITISH, *AMERICAN, *GERMAN, *FRENCH)
