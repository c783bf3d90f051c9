-- One row per person, service, day of request and as-of date that the request counts on: asked in the 12 months before
-- it, and by then due, answered or taken back.
--
-- Requests of one day to one service are one. event_date, due_date: the day of the request, the last day to answer it. is_withdrawn: all of them were withdrawn or are duplicates. is_late: none
-- of the others was answered by the end of the day that `deadline` gives.
WITH request AS (
    SELECT
        person_number,
        service,
        event_date,
        min(answered_date) FILTER (coalesce(outcome, 'answered') = 'answered') AS answered_date,
        bool_and(coalesce(outcome IN ('withdrawn', 'duplicate'), false)) AS is_withdrawn
    FROM contact_request
    WHERE
        event_date > (SELECT min(as_of) - INTERVAL 12 MONTH FROM as_of)
        AND event_date <= (SELECT max(as_of) FROM as_of)
    GROUP BY person_number, service, event_date
)

SELECT
    request.person_number,
    as_of.as_of,
    request.service,
    request.event_date,
    deadline.due_date,
    request.is_withdrawn,
    NOT request.is_withdrawn AND coalesce(request.answered_date > deadline.due_date, true) AS is_late
FROM request
INNER JOIN as_of
    ON request.event_date > as_of.as_of - INTERVAL 12 MONTH AND request.event_date <= as_of.as_of
INNER JOIN deadline ON request.event_date = deadline.asked_date
WHERE
    request.is_withdrawn
    OR deadline.due_date <= as_of.as_of
    OR request.answered_date <= as_of.as_of
