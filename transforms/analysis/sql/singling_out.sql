-- One row per set of attributes: in how many groups all persons fall by them, and how many persons are in small ones.
--
-- $as_of: the day on which the district and the death are looked at; $group_size: the size below which a group is small.
-- left_out has a bit for each of death_month, has_moved and conditions that the set lacks.
WITH home AS (
    SELECT
        person_number,
        max({'begun': coalesce(from_date, DATE '0001-01-01'), 'area_code': coalesce(area_code, 'unknown')}) FILTER (
            coalesce(from_date, $as_of) <= $as_of AND coalesce(to_date, $as_of) >= $as_of
        ) AS latest,
        count(*) > 1 AS has_moved
    FROM residence
    GROUP BY person_number
),

ill AS (
    SELECT
        diagnosis.person_number,
        string_agg(DISTINCT condition.name, ' ' ORDER BY condition.name) AS conditions
    FROM diagnosis
    INNER JOIN condition ON diagnosis.code_system = condition.code_system AND diagnosis.code = condition.code
    WHERE diagnosis.event_date <= $as_of
    GROUP BY diagnosis.person_number
),

attributes AS (
    SELECT
        person.birth_date,
        coalesce(person.sex, 'unknown') AS sex,
        coalesce(home.latest.area_code, 'unknown') AS area_code,
        CASE WHEN person.death_date <= $as_of THEN date_trunc('month', person.death_date) END AS death_month,
        coalesce(home.has_moved, false) AS has_moved,
        coalesce(ill.conditions, '') AS conditions
    FROM person
    LEFT JOIN home ON person.person_number = home.person_number
    LEFT JOIN ill ON person.person_number = ill.person_number
),

alike AS (
    SELECT
        grouping(death_month, has_moved, conditions) AS left_out,
        count(*) AS size
    FROM attributes
    GROUP BY GROUPING SETS (
        (birth_date, sex, area_code),
        (birth_date, sex, area_code, death_month),
        (birth_date, sex, area_code, has_moved),
        (birth_date, sex, area_code, conditions),
        (birth_date, sex, area_code, death_month, has_moved, conditions)
    )
)

SELECT
    left_out,
    sum(size)::BIGINT AS persons,
    count(*) AS groups,
    count(*) FILTER (size = 1) AS unique_persons,
    coalesce(sum(size) FILTER (size < $group_size), 0)::BIGINT AS persons_in_small_groups
FROM alike
GROUP BY left_out
ORDER BY left_out DESC
