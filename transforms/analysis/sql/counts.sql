-- One row per indicator, as-of date, area, sex and age band with somebody of the population in it.
--
-- Persons with equal masks are counted together before the months are laid out.
WITH alike AS (
    SELECT
        status.indicator,
        stratum.area,
        stratum.age_band,
        person.sex,
        status.open & stratum.during AS open,
        status.closed & stratum.during AS closed,
        status.declined & stratum.during AS declined,
        status.excluded & stratum.during AS excluded,
        count(*) AS persons
    FROM status
    INNER JOIN stratum ON status.person_number = stratum.person_number
    INNER JOIN person ON status.person_number = person.person_number
    GROUP BY ALL
)

SELECT
    alike.indicator,
    as_of.as_of,
    alike.area,
    alike.sex,
    alike.age_band,
    sum(alike.persons * ((alike.open >> as_of.bit) & 1)) AS open,
    sum(alike.persons * ((alike.closed >> as_of.bit) & 1)) AS closed,
    sum(alike.persons * ((alike.declined >> as_of.bit) & 1)) AS declined,
    sum(alike.persons * ((alike.excluded >> as_of.bit) & 1)) AS excluded
FROM alike
CROSS JOIN as_of
WHERE ((alike.open | alike.closed | alike.declined | alike.excluded) >> as_of.bit) & 1 = 1
GROUP BY alike.indicator, as_of.as_of, alike.area, alike.sex, alike.age_band
