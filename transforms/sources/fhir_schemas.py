"""The elements of FHIR R4 resources that are read, with their types; everything else in a line is passed over."""

import pyarrow as pa

_TEXT, _FLAG, _NUMBER = pa.string(), pa.bool_(), pa.float64()


def _struct(**fields: pa.DataType) -> pa.DataType:
    return pa.struct(list(fields.items()))


_CODING = _struct(system=_TEXT, code=_TEXT, display=_TEXT)
_CONCEPT = _struct(coding=pa.list_(_CODING), text=_TEXT)
_IDENTIFIER = _struct(use=_TEXT, system=_TEXT, value=_TEXT)
_REFERENCE = _struct(reference=_TEXT, identifier=_IDENTIFIER)
_PERIOD = _struct(start=_TEXT, end=_TEXT)
_QUANTITY = _struct(value=_NUMBER, unit=_TEXT, system=_TEXT, code=_TEXT)
_VALUE = {
    "code": _CONCEPT,
    "valueQuantity": _QUANTITY,
    "valueInteger": _NUMBER,
    "valueString": _TEXT,
    "dataAbsentReason": _CONCEPT,
}
_ELEMENTS: dict[str, dict[str, pa.DataType]] = {
    "Patient": {
        "identifier": pa.list_(_IDENTIFIER),
        "name": pa.list_(_struct(use=_TEXT, family=_TEXT, given=pa.list_(_TEXT), text=_TEXT)),
        "telecom": pa.list_(_struct(system=_TEXT, value=_TEXT)),
        "gender": _TEXT,
        "birthDate": _TEXT,
        "deceasedBoolean": _FLAG,
        "deceasedDateTime": _TEXT,
        "address": pa.list_(
            _struct(
                use=_TEXT,
                line=pa.list_(_TEXT),
                city=_TEXT,
                district=_TEXT,
                postalCode=_TEXT,
                period=_PERIOD,
            )
        ),
        "link": pa.list_(_struct(other=_REFERENCE, type=_TEXT)),
        "meta": _struct(lastUpdated=_TEXT, security=pa.list_(_CODING)),
    },
    "Encounter": {
        "status": _TEXT,
        "class": _CODING,
        "type": pa.list_(_CONCEPT),
        "serviceType": _CONCEPT,
        "subject": _REFERENCE,
        "participant": pa.list_(_struct(individual=_REFERENCE)),
        "period": _PERIOD,
    },
    "Appointment": {
        "status": _TEXT,
        "cancelationReason": _CONCEPT,
        "serviceType": pa.list_(_CONCEPT),
        "specialty": pa.list_(_CONCEPT),
        "start": _TEXT,
        "requestedPeriod": pa.list_(_PERIOD),
        "created": _TEXT,
        "participant": pa.list_(_struct(actor=_REFERENCE)),
    },
    "Condition": {
        "clinicalStatus": _CONCEPT,
        "verificationStatus": _CONCEPT,
        "code": _CONCEPT,
        "subject": _REFERENCE,
        "onsetDateTime": _TEXT,
        "onsetPeriod": _PERIOD,
        "abatementDateTime": _TEXT,
        "abatementPeriod": _PERIOD,
        "recordedDate": _TEXT,
    },
    "Observation": {
        "status": _TEXT,
        "subject": _REFERENCE,
        "effectiveDateTime": _TEXT,
        "effectiveInstant": _TEXT,
        "effectivePeriod": _PERIOD,
        "issued": _TEXT,
        "component": pa.list_(_struct(**_VALUE)),
        **_VALUE,
    },
    "MedicationRequest": {
        "status": _TEXT,
        "intent": _TEXT,
        "doNotPerform": _FLAG,
        "medicationCodeableConcept": _CONCEPT,
        "medicationReference": _REFERENCE,
        "contained": pa.list_(_struct(id=_TEXT, code=_CONCEPT)),
        "subject": _REFERENCE,
        "authoredOn": _TEXT,
        "dispenseRequest": _struct(expectedSupplyDuration=_QUANTITY),
    },
    "Immunization": {
        "status": _TEXT,
        "statusReason": _CONCEPT,
        "vaccineCode": _CONCEPT,
        "patient": _REFERENCE,
        "occurrenceDateTime": _TEXT,
        "recorded": _TEXT,
    },
    "Medication": {"code": _CONCEPT},
    "PractitionerRole": {
        "practitioner": _REFERENCE,
        "code": pa.list_(_CONCEPT),
        "specialty": pa.list_(_CONCEPT),
    },
}
SCHEMAS: dict[str, pa.Schema] = {
    kind: pa.schema([("resourceType", _TEXT), ("id", _TEXT), *elements.items()]) for kind, elements in _ELEMENTS.items()
}
"""Arrow schema by resource type."""
VERSIONS = pa.schema([("resourceType", _TEXT), ("id", _TEXT), ("meta", _struct(lastUpdated=_TEXT, versionId=_TEXT))])
"""What tells which of several versions of a resource is the latest."""
