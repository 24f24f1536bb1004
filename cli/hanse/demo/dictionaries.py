"""Public data dictionaries of the data sets that the demo knows.

A dictionary says of every column what may be known before any row is read: its kind, its public bin edges
or its categories, its classification. Edges are round numbers from the documentation of the data set and from
the trade (age bands, account bands, months of the calendar), never quantiles of the rows: an edge that is
computed from the rows would release something about them, and would have to be charged to the budget.

A bin starts at its edge: edges ``(25, 30)`` are the bins below 25, from 25 to below 30, and from 30.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from hanse.errors import ConfigurationError
from hanse.policies import Column
from hanse.policies.agreement import Special

Classification = Literal["basic", "behavioural", "transaction", "sensitive"]


@dataclass(frozen=True, slots=True)
class DataDictionary:
    """What is public about one data set.

    Attributes:
        name: Short name: that of its file and folder.
        title: Name for a reader.
        source: Who published it, and where.
        licence: Licence as the source states it.
        columns: Columns that a member may be given, in file order.
        label: Label column.
        positive: Value of the label that is predicted.
        negative: The other value.
        natural_key: Columns whose values say to which organisation a customer naturally belongs.
        key_title: The natural key for a reader.
        left_out: Columns of the file that no member is given, with the reason.
        missing: Cell texts that mean "not known" besides the empty one.
    """

    name: str
    title: str
    source: str
    licence: str
    columns: tuple[Column, ...]
    label: str
    positive: str
    negative: str
    natural_key: tuple[str, ...]
    key_title: str
    left_out: Mapping[str, str]
    missing: frozenset[str] = frozenset()

    @property
    def file_columns(self) -> frozenset[str]:
        """Every column that the file has."""
        return frozenset({column.name for column in self.columns} | {self.label} | set(self.left_out))


def _number(name: str, classification: Classification, *edges: float, necessity: str | None = None) -> Column:
    return Column(
        name=name,
        kind="numeric",
        classification=classification,
        edges=tuple(float(edge) for edge in edges),
        categories=(),
        necessity=necessity,
        special=_special(classification),
    )


def _category(
    name: str,
    classification: Classification,
    *categories: str,
    necessity: str | None = None,
    required: bool = True,
) -> Column:
    return Column(
        name=name,
        kind="categorical",
        classification=classification,
        edges=(),
        categories=categories,
        necessity=necessity,
        special=_special(classification),
        required=required,
    )


def _special(classification: Classification) -> Special | None:
    """Most of what is sensitive in these data sets is about accounts, loans and payments."""
    return "financial_account" if classification == "sensitive" else None


_ACCOUNT_NEED = "Ability to take up the offer; without it, people are called for whom it is unsuitable."
_CREDIT_NEED = "Ability to repay is what the model predicts; no less intrusive column carries it."

_BANK_COLUMNS: Final = (
    _number("age", "basic", 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75),
    _category(
        "job",
        "basic",
        "admin.",
        "blue-collar",
        "entrepreneur",
        "housemaid",
        "management",
        "retired",
        "self-employed",
        "services",
        "student",
        "technician",
        "unemployed",
        "unknown",
    ),
    _category("marital", "basic", "divorced", "married", "single"),
    _category("education", "basic", "primary", "secondary", "tertiary", "unknown"),
    _category("default", "sensitive", "no", "yes", necessity=_ACCOUNT_NEED),
    # Yearly average balance in euros, on a 1-2-5 grid, with overdrawn and empty accounts apart.
    _number(
        "balance",
        "sensitive",
        *(-500, 0, 1, 100, 200, 500, 1_000, 2_000, 5_000, 10_000),
        necessity=_ACCOUNT_NEED,
    ),
    _category("housing", "sensitive", "no", "yes", necessity=_ACCOUNT_NEED),
    # Whoever hides a loan stays in: the other columns say enough.
    _category("loan", "sensitive", "no", "yes", necessity=_ACCOUNT_NEED, required=False),
    _category("contact", "behavioural", "cellular", "telephone", "unknown"),
    _number("day", "behavioural", *range(2, 32)),
    _category(
        "month",
        "behavioural",
        *("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    ),
    _number("campaign", "behavioural", 2, 3, 4, 5, 6, 8, 11, 16),
    # Days since the last contact; -1 means never contacted. Quarters of a year.
    _number("pdays", "behavioural", 0, 90, 180, 270, 365),
    _number("previous", "behavioural", 1, 2, 3, 4, 5, 10),
    _category("poutcome", "behavioural", "failure", "other", "success", "unknown"),
)
_BANK_SOURCE = (
    "S. Moro, P. Cortez, P. Rita (2014): Bank Marketing, UCI Machine Learning Repository, doi:10.24432/C5K306"
)
_UCI_LICENCE = "as stated at the UCI Machine Learning Repository"
_DURATION = "known only after the call, when the answer is known too"
_ROW_NUMBER = "identifies a row and says nothing about a customer"


def _bank(name: str, title: str, left_out: Mapping[str, str]) -> DataDictionary:
    return DataDictionary(
        name=name,
        title=title,
        source=_BANK_SOURCE,
        licence="CC BY 4.0",
        columns=_BANK_COLUMNS,
        label="y",
        positive="yes",
        negative="no",
        natural_key=("job",),
        key_title="occupation",
        left_out=MappingProxyType(dict(left_out)),
    )


_MONTHS_LATE = tuple(str(status) for status in range(-2, 9))
"""-2 no use, -1 paid in full, 0 revolving credit, n: n months late (8: eight or more)."""
# New Taiwan dollars, on a 1-2-5 grid.
_BILL_EDGES = (0, 1, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000)
_PAYMENT_EDGES = (1, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)

_DEFAULT_CREDIT: Final = DataDictionary(
    name="default_credit",
    title="Default of credit card clients, Taiwan 2005",
    source="I-C. Yeh (2009): Default of Credit Card Clients, UCI Machine Learning Repository, "
    "doi:10.24432/C55S3H",
    licence=_UCI_LICENCE,
    columns=(
        _number(
            "LIMIT_BAL",
            "sensitive",
            *(20_000, 30_000, 50_000, 80_000, 100_000, 150_000, 200_000, 250_000, 300_000, 400_000, 500_000),
            necessity=_CREDIT_NEED,
        ),
        _category("SEX", "basic", "1", "2"),
        # 1 graduate school, 2 university, 3 high school, 4 others; 0, 5 and 6 are not documented.
        _category("EDUCATION", "basic", "0", "1", "2", "3", "4", "5", "6"),
        # 1 married, 2 single, 3 others; 0 is not documented.
        _category("MARRIAGE", "basic", "0", "1", "2", "3"),
        _number("AGE", "basic", 25, 30, 35, 40, 45, 50, 55, 60),
        *(
            _category(f"PAY_{month}", "sensitive", *_MONTHS_LATE, necessity=_CREDIT_NEED)
            for month in (0, 2, 3, 4, 5, 6)
        ),
        *(
            _number(f"BILL_AMT{month}", "sensitive", *_BILL_EDGES, necessity=_CREDIT_NEED)
            for month in range(1, 7)
        ),
        *(
            _number(f"PAY_AMT{month}", "sensitive", *_PAYMENT_EDGES, necessity=_CREDIT_NEED)
            for month in range(1, 7)
        ),
    ),
    label="default",
    positive="1",
    negative="0",
    natural_key=("EDUCATION", "MARRIAGE"),
    key_title="education and marital status",
    left_out=MappingProxyType({"ID": _ROW_NUMBER}),
)

_ADULT: Final = DataDictionary(
    name="adult",
    title="Adult (census income), United States 1994",
    source="B. Becker, R. Kohavi (1996): Adult, UCI Machine Learning Repository, doi:10.24432/C5XW20",
    licence=_UCI_LICENCE,
    columns=(
        _number("age", "basic", 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70),
        _category(
            "workclass",
            "basic",
            "Federal-gov",
            "Local-gov",
            "Never-worked",
            "Private",
            "Self-emp-inc",
            "Self-emp-not-inc",
            "State-gov",
            "Without-pay",
        ),
        _category(
            "education",
            "basic",
            *("Preschool", "1st-4th", "5th-6th", "7th-8th", "9th", "10th", "11th", "12th", "HS-grad"),
            *("Some-college", "Assoc-voc", "Assoc-acdm", "Bachelors", "Masters", "Prof-school", "Doctorate"),
        ),
        _category(
            "marital-status",
            "basic",
            "Divorced",
            "Married-AF-spouse",
            "Married-civ-spouse",
            "Married-spouse-absent",
            "Never-married",
            "Separated",
            "Widowed",
        ),
        _category(
            "occupation",
            "basic",
            "Adm-clerical",
            "Armed-Forces",
            "Craft-repair",
            "Exec-managerial",
            "Farming-fishing",
            "Handlers-cleaners",
            "Machine-op-inspct",
            "Other-service",
            "Priv-house-serv",
            "Prof-specialty",
            "Protective-serv",
            "Sales",
            "Tech-support",
            "Transport-moving",
        ),
        _category(
            "relationship",
            "basic",
            "Husband",
            "Not-in-family",
            "Other-relative",
            "Own-child",
            "Unmarried",
            "Wife",
        ),
        _category("gender", "basic", "Female", "Male"),
        # Dollars. Most people have none; the rest on a 1-2-5 grid with the steps of the tax form's bands.
        _number("capital-gain", "transaction", 1, 2_000, 3_000, 4_000, 5_000, 7_000, 10_000, 20_000),
        _number("capital-loss", "transaction", 1, 1_000, 1_500, 1_750, 2_000, 2_250, 2_500),
        _number("hours-per-week", "behavioural", 20, 30, 35, 40, 41, 45, 50, 60),
    ),
    label="income",
    positive=">50K",
    negative="<=50K",
    natural_key=("occupation",),
    key_title="occupation",
    left_out=MappingProxyType(
        {
            "fnlwgt": "sampling weight of the census, no property of a person",
            "educational-num": "the same as education",
            "race": "special category of personal data, not necessary for this purpose",
            "native-country": "stands in for ethnic origin, not necessary for this purpose",
        }
    ),
    missing=frozenset({"?"}),
)


def _service(name: str) -> Column:
    return _category(name, "behavioural", "No", "No internet service", "Yes")


_TELCO: Final = DataDictionary(
    name="telco",
    title="Telco customer churn (fictional company)",
    source="IBM sample data set: Telco Customer Churn",
    licence="sample data, as IBM states",
    columns=(
        _category("gender", "basic", "Female", "Male"),
        _category("SeniorCitizen", "basic", "0", "1"),
        _category("Partner", "basic", "No", "Yes"),
        _category("Dependents", "basic", "No", "Yes"),
        _number("tenure", "transaction", 1, 2, 3, 6, 12, 18, 24, 36, 48, 60, 72),
        _category("PhoneService", "behavioural", "No", "Yes"),
        _category("MultipleLines", "behavioural", "No", "No phone service", "Yes"),
        _category("InternetService", "behavioural", "DSL", "Fiber optic", "No"),
        _service("OnlineSecurity"),
        _service("OnlineBackup"),
        _service("DeviceProtection"),
        _service("TechSupport"),
        _service("StreamingTV"),
        _service("StreamingMovies"),
        _category("Contract", "transaction", "Month-to-month", "One year", "Two year"),
        _category("PaperlessBilling", "transaction", "No", "Yes"),
        _category(
            "PaymentMethod",
            "transaction",
            "Bank transfer (automatic)",
            "Credit card (automatic)",
            "Electronic check",
            "Mailed check",
        ),
        _number("MonthlyCharges", "transaction", 20, 30, 40, 50, 60, 70, 80, 90, 100, 110),
        _number("TotalCharges", "transaction", 50, 100, 200, 500, 1_000, 2_000, 3_000, 5_000, 7_000),
    ),
    label="Churn",
    positive="Yes",
    negative="No",
    natural_key=("PaymentMethod",),
    key_title="payment method",
    left_out=MappingProxyType({"customerID": _ROW_NUMBER}),
)

# Caravan: the documentation gives codes, not amounts. Shares of a neighbourhood: 0 none, 1 to 9 in steps of
# about a tenth. Contributions: 0 none, then doubling bands of guilders. Numbers of policies: as they are.
_SHARE_COLUMNS = (
    *("MRELGE", "MRELSA", "MRELOV", "MFALLEEN", "MFGEKIND", "MFWEKIND", "MOPLHOOG", "MOPLMIDD", "MOPLLAAG"),
    *("MBERHOOG", "MBERZELF", "MBERBOER", "MBERMIDD", "MBERARBG", "MBERARBO", "MSKA", "MSKB1", "MSKB2"),
    *("MSKC", "MSKD", "MHHUUR", "MHKOOP", "MAUT1", "MAUT2", "MAUT0", "MZFONDS", "MZPART", "MINKM30"),
    *("MINK3045", "MINK4575", "MINK7512", "MINK123M", "MINKGEM"),
)
_POLICIES = (
    *("WAPART", "WABEDR", "WALAND", "PERSAUT", "BESAUT", "MOTSCO", "VRAAUT", "AANHANG", "TRACTOR", "WERKT"),
    *(
        "BROM",
        "LEVEN",
        "PERSONG",
        "GEZONG",
        "WAOREG",
        "BRAND",
        "ZEILPL",
        "PLEZIER",
        "FIETS",
        "INBOED",
        "BYSTAND",
    ),
)
_HEALTH_NEED = (
    "Holdings of this insurance only, no state of health; the offer is unsuitable for who is covered."
)
_HEALTH_POLICIES = frozenset({"PERSONG", "GEZONG", "WAOREG"})


def _holding(prefix: str, policy: str, edges: tuple[int, ...]) -> Column:
    if policy not in _HEALTH_POLICIES:
        return _number(prefix + policy, "transaction", *edges)
    column = _number(prefix + policy, "sensitive", *edges, necessity=_HEALTH_NEED)
    return column.model_copy(update={"special": "medical"})


_CARAVAN: Final = DataDictionary(
    name="caravan",
    title="Caravan insurance (CoIL challenge 2000)",
    source="P. van der Putten (2000): Insurance Company Benchmark (COIL 2000), UCI Machine Learning "
    "Repository, doi:10.24432/C5630S",
    licence=_UCI_LICENCE,
    columns=(
        _category("MOSTYPE", "basic", *(str(code) for code in range(1, 42))),
        _number("MAANTHUI", "basic", 2, 3),
        _number("MGEMOMV", "basic", 2, 3, 4, 5),
        _number("MGEMLEEF", "basic", 2, 3, 4, 5),
        _category("MOSHOOFD", "basic", *(str(code) for code in range(1, 11))),
        *(_number(name, "basic", 1, 3, 5, 7) for name in _SHARE_COLUMNS),
        _category("MKOOPKLA", "basic", *(str(code) for code in range(1, 9))),
        *(_holding("P", policy, (1, 2, 3, 4, 5, 6, 7)) for policy in _POLICIES),
        *(_holding("A", policy, (1, 2, 3)) for policy in _POLICIES),
    ),
    label="Purchase",
    positive="Yes",
    negative="No",
    natural_key=("MOSHOOFD",),
    key_title="customer main type",
    left_out=MappingProxyType(
        {
            "split": "says which rows the challenge used for its own test",
            **dict.fromkeys(
                ("MGODRK", "MGODPR", "MGODOV", "MGODGE"),
                "religion, a special category of personal data, not necessary for this purpose",
            ),
        }
    ),
)

BUNDLED: Final = _bank(
    "bank", "Bank Marketing (sample of 4,521 rows)", {"id": _ROW_NUMBER, "duration": _DURATION}
)
"""The data set that is installed with the package."""

DICTIONARIES: Final[Mapping[str, DataDictionary]] = MappingProxyType(
    {
        dictionary.name: dictionary
        for dictionary in (
            _bank("bank_full", "Bank Marketing (all 45,211 rows)", {"duration": _DURATION}),
            _DEFAULT_CREDIT,
            _ADULT,
            _TELCO,
            _CARAVAN,
        )
    }
)
"""The data sets that a folder may hold, by name."""


def dictionary_of(name: str) -> DataDictionary:
    """The dictionary of the data set ``name``.

    Raises:
        ConfigurationError: ``config.bad-data`` when there is none. Bins made up from the rows would not be
            public, so nothing is guessed.
    """
    if name not in DICTIONARIES:
        known = ", ".join(sorted(DICTIONARIES))
        raise ConfigurationError(
            "config.bad-data",
            f"no public data dictionary for the data set {name!r}; there is one for {known}. Without it, bin "
            "edges and categories would have to be read off the rows, which would not be private",
        )
    return DICTIONARIES[name]
