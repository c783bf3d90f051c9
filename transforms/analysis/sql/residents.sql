-- One row per as-of date, area, sex and age band with a resident in it.
WITH alike AS (
    SELECT
        stratum.area,
        stratum.age_band,
        person.sex,
        person.resident & stratum.during AS resident,
        count(*) AS persons
    FROM stratum
    INNER JOIN person ON stratum.person_number = person.person_number
    GROUP BY ALL
)

SELECT
    as_of.as_of,
    alike.area,
    alike.sex,
    alike.age_band,
    sum(alike.persons) AS residents
FROM alike
CROSS JOIN as_of
WHERE (alike.resident >> as_of.bit) & 1 = 1
GROUP BY as_of.as_of, alike.area, alike.sex, alike.age_band
