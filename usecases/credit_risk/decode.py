"""Code book of the German credit data: maps the file's codes to the words that clients send.

Source: `german.doc` of the data set, https://archive.ics.uci.edu/dataset/144 (doi:10.24432/C5NC77).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

CODES: dict[str, dict[str, str]] = {
    "status": {
        "A11": "below 0 DM",
        "A12": "0 to 200 DM",
        "A13": "200 DM or more or salary assigned for a year",
        "A14": "no checking account",
    },
    "credit_history": {
        "A30": "no credits taken or all paid back duly",
        "A31": "all credits at this bank paid back duly",
        "A32": "existing credits paid back duly till now",
        "A33": "delay in paying off in the past",
        "A34": "critical account or credits at other banks",
    },
    "purpose": {
        "A40": "new car",
        "A41": "used car",
        "A42": "furniture or equipment",
        "A43": "radio or television",
        "A44": "domestic appliances",
        "A45": "repairs",
        "A46": "education",
        "A47": "vacation",
        "A48": "retraining",
        "A49": "business",
        "A410": "others",
    },
    "savings": {
        "A61": "below 100 DM",
        "A62": "100 to 500 DM",
        "A63": "500 to 1000 DM",
        "A64": "1000 DM or more",
        "A65": "unknown or none",
    },
    "employment": {
        "A71": "unemployed",
        "A72": "below 1 year",
        "A73": "1 to 4 years",
        "A74": "4 to 7 years",
        "A75": "7 years or more",
    },
    "personal_status": {
        "A91": "divorced or separated man",
        "A92": "divorced or separated or married woman",
        "A93": "single man",
        "A94": "married or widowed man",
        "A95": "single woman",
    },
    "other_debtors": {"A101": "none", "A102": "co-applicant", "A103": "guarantor"},
    "property": {
        "A121": "real estate",
        "A122": "savings agreement or life insurance",
        "A123": "car or other",
        "A124": "unknown or none",
    },
    "other_installment_plans": {"A141": "bank", "A142": "stores", "A143": "none"},
    "housing": {"A151": "rent", "A152": "own", "A153": "for free"},
    "job": {
        "A171": "unemployed or unskilled and non-resident",
        "A172": "unskilled and resident",
        "A173": "skilled employee or official",
        "A174": "management or self-employed or highly qualified",
    },
    "telephone": {"A191": "false", "A192": "true"},
    "foreign_worker": {"A201": "true", "A202": "false"},
    "risk": {"1": "good", "2": "bad"},
}


def decode(frame: pd.DataFrame) -> pd.DataFrame:
    """Replace codes by words, as `A11` by `below 0 DM`; an unknown code stays as it is, so that validation reports it.

    Ingest calls it before masking: a token must be that of the value that a client sends.
    """
    return frame.assign(**{column: frame[column].replace(book) for column, book in CODES.items() if column in frame})
