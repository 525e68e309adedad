-- The five roles of a school and what each may do at first. A SchoolAdmin may change the matrix afterwards.

INSERT INTO app.roles (code, title_pt, title_en) VALUES
    ('SchoolAdmin', 'Direção',              'School administrator'),
    ('Teacher',     'Educador(a)',          'Teacher'),
    ('HealthStaff', 'Pessoal de saúde',     'Health staff'),
    ('Guardian',    'Encarregado de educação', 'Guardian'),
    ('ReadOnly',    'Apenas consulta',      'Read only');

INSERT INTO app.permissions (code, title_pt, title_en) VALUES
    ('children:read',      'Consultar crianças',                 'See children'),
    ('children:create',    'Registar crianças',                  'Register children'),
    ('children:update',    'Alterar crianças e inscrições',      'Change children and enrolments'),
    ('children:delete',    'Remover crianças',                   'Remove children'),
    ('children:export',    'Exportar os dados de uma criança',   'Export a child''s data'),
    ('children:erase',     'Apagar definitivamente (RGPD)',      'Erase for good (GDPR)'),
    ('guardians:read',     'Consultar encarregados',             'See guardians'),
    ('guardians:create',   'Registar encarregados',              'Register guardians'),
    ('guardians:update',   'Alterar encarregados',               'Change guardians'),
    ('guardians:delete',   'Remover encarregados',               'Remove guardians'),
    ('classes:read',       'Consultar salas',                    'See classes'),
    ('classes:create',     'Criar salas',                        'Create classes'),
    ('classes:update',     'Alterar salas',                      'Change classes'),
    ('classes:delete',     'Remover salas',                      'Remove classes'),
    ('activities:read',    'Consultar atividades',               'See activities'),
    ('activities:create',  'Registar atividades',                'Record activities'),
    ('activities:update',  'Alterar atividades',                 'Change activities'),
    ('activities:delete',  'Remover atividades',                 'Remove activities'),
    ('health:read',        'Consultar registos de saúde',        'See health records'),
    ('health:create',      'Criar registos de saúde',            'Create health records'),
    ('health:update',      'Alterar registos de saúde',          'Change health records'),
    ('health:delete',      'Remover registos de saúde',          'Remove health records'),
    ('health:administer',  'Administrar medicação',              'Administer medication'),
    ('incidents:read',     'Consultar ocorrências',              'See incidents'),
    ('incidents:create',   'Registar ocorrências',               'Record incidents'),
    ('incidents:update',   'Alterar ocorrências',                'Change incidents'),
    ('incidents:delete',   'Remover ocorrências',                'Remove incidents'),
    ('staff:read',         'Consultar pessoal',                  'See staff'),
    ('staff:create',       'Registar pessoal',                   'Register staff'),
    ('staff:update',       'Alterar pessoal e afetações',        'Change staff and assignments'),
    ('staff:delete',       'Remover pessoal',                    'Remove staff'),
    ('reports:read',       'Consultar relatórios diários',       'See daily reports'),
    ('settings:read',      'Consultar configurações',            'See settings'),
    ('settings:update',    'Alterar configurações',              'Change settings'),
    ('roles:read',         'Consultar funções e permissões',     'See roles and permissions'),
    ('roles:update',       'Alterar funções e permissões',       'Change roles and permissions'),
    ('audit:read',         'Consultar auditoria',                'See the audit log');

INSERT INTO app.role_permissions (role_code, permission_code)
SELECT 'SchoolAdmin', code FROM app.permissions
UNION ALL
-- Teachers give medication too: most day-cares have no nurse on the spot.
SELECT 'Teacher', unnest(ARRAY[
    'children:read', 'guardians:read', 'classes:read',
    'activities:read', 'activities:create', 'activities:update', 'activities:delete',
    'health:read', 'health:administer',
    'incidents:read', 'incidents:create', 'incidents:update',
    'staff:read', 'reports:read', 'settings:read'])
UNION ALL
SELECT 'HealthStaff', unnest(ARRAY[
    'children:read', 'guardians:read', 'classes:read', 'activities:read',
    'health:read', 'health:create', 'health:update', 'health:delete', 'health:administer',
    'incidents:read', 'incidents:create', 'incidents:update', 'incidents:delete',
    'staff:read', 'reports:read', 'settings:read'])
UNION ALL
-- Health records and the audit log are not for a mere reader: data minimisation.
SELECT 'ReadOnly', unnest(ARRAY[
    'children:read', 'guardians:read', 'classes:read', 'activities:read',
    'staff:read', 'reports:read', 'settings:read']);

INSERT INTO app.role_permissions (role_code, permission_code, scope)
SELECT 'Guardian', unnest(ARRAY[
    'children:read', 'children:export', 'guardians:read', 'classes:read', 'activities:read',
    'health:read', 'incidents:read', 'reports:read']), 'own'
UNION ALL
SELECT 'Guardian', 'settings:read', 'school';
